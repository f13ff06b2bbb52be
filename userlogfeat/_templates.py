"""Templates of Jinja2: files in the folder ``templates`` of a package."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jinja2 import Environment


def templates_of(package: str, *, autoescape: bool = False) -> Environment:
    """Return the templates of a package; what they lack is an error.

    Parameters
    ----------
    package : str
        Name of the package, such as ``"userlogfeat.report"``.
    autoescape : bool
        Whether values are escaped, as HTML needs it.

    Returns
    -------
    jinja2.Environment
    """
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader(package),
        autoescape=autoescape,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        undefined=jinja2.StrictUndefined,
    )


def render_text(package: str, template: str, **values: Any) -> str:
    """Fill a template that is no HTML: nothing is escaped."""
    return templates_of(package).get_template(template).render(**values)
