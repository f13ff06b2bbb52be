"""Does knowledge from listening logs help a student, and is it knowledge?

``compare`` fits a student without a teacher, with one, and with three controls that
contain no information on listeners: a teacher of permuted logs, random targets, and a
teacher of random factors that are distinct for each artist. It does the same for any
estimator of scikit-learn, with the teacher's estimates as further columns. All
arms have the same folds, the same training clips, the same seeds and the same search
for their settings. Where the controls help as much as the teacher, the gain is
regularisation.

After Lee, Lee, Park, Lee (2019), "Enhancing music features by knowledge transfer from
user-item log data", section 4, which has the arms base, fix, init and kd, and no
controls.

==============  ======================================================================
run             ``compare``: fits in several processes, resumed
arms            the arms, registered by name, with their description and look
problem         the data and settings that all fits share; ``checks``, ``splits`` and
                ``students`` refuse what cannot work before the first fit
artist_overlap  ``TeacherData``; artists on the teacher's and the student's side
teachers        a teacher for each fold, without its test artists; permuted logs, and
                random factors of artists
twins           ``save_controls``: controls of a saved teacher, in its folder
projection      random targets
supervision     teachers and targets for the fits, each trained once
plain           the plain estimator, which reads estimates as columns
fitting         one fit: search, training and test of a student
result_store    finished fits on disk
summary         ``summarise``: intervals and tests
==============  ======================================================================
"""

from userlogfeat.comparison.arms import ARMS, DEFAULT_ARMS, PLAIN_ARMS, register_arm
from userlogfeat.comparison.artist_overlap import TeacherData
from userlogfeat.comparison.run import SCHEMA, compare
from userlogfeat.comparison.summary import summarise
from userlogfeat.comparison.twins import save_controls

__all__ = [
    "ARMS",
    "DEFAULT_ARMS",
    "PLAIN_ARMS",
    "SCHEMA",
    "TeacherData",
    "compare",
    "register_arm",
    "save_controls",
    "summarise",
]
