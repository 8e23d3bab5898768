"""``python -m plainspeech``, which is ``plainspeech``."""

from plainspeech.cli import main

if __name__ == "__main__":
    main()
