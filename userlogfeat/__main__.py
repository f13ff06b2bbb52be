"""``python -m userlogfeat`` is the `userlogfeat` command."""

from userlogfeat.cli import main

if __name__ == "__main__":
    main()
