"""``python -m userlogfeat`` is the `userlogfeat` command."""

from userlogfeat.cli import main

main()
