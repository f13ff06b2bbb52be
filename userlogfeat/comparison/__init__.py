"""Does knowledge from listening logs help a student, and is it knowledge?

``compare`` fits a student without a teacher, with one, and with two controls that know
nothing of listeners: a teacher of permuted logs, and random targets. All arms have the
same folds, the same training clips, the same seeds and the same search for their
settings. Where the controls help as much as the teacher, it is regularisation.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data", section 4, which has the arms base, fix, init and kd, and no
controls.

==========  =========================================================================
run         ``compare``: cells, processes, resuming
problem     what all cells share; ``checks`` refuses what cannot work, ``splits``
            folds that are none, and ``students`` settings of which a fit would end
links       ``TeacherData``; which artists teach, and are in the task
teachers    a teacher for each fold, without its test artists; permuted logs
projection  random targets
arms        what each arm gives its student; the fit of one cell
cells       finished cells on disk
summary     ``summarise``: intervals and tests
==========  =========================================================================
"""

from userlogfeat.comparison.links import TeacherData
from userlogfeat.comparison.problem import ARMS
from userlogfeat.comparison.run import SCHEMA, compare
from userlogfeat.comparison.summary import summarise

__all__ = ["ARMS", "SCHEMA", "TeacherData", "compare", "summarise"]
