"""Bodies of answers, by subject. Requests are in `jobs.recipes` and `jobs.requests`; models answer with their card."""
