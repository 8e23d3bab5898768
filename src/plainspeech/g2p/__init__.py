"""From letters to phones: pronunciations of words that no lexicon has."""
