"""Pages of the documentation, as errors and displays link to them."""

SITE = "https://userlogfeat.readthedocs.io/en/latest/"


def see(page: str, place: str = "what-goes-wrong") -> str:
    """Return the end of a message that a page explains.

    Parameters
    ----------
    page : str
        Without suffix, such as ``"guide/logs"``.
    place : str
        Its heading, as in addresses.

    Examples
    --------
    >>> see("install")
    ' See https://userlogfeat.readthedocs.io/en/latest/install.html#what-goes-wrong'
    """
    return f" See {SITE}{page}.html#{place}"
