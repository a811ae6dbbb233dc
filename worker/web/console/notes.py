"""The sentences a page may be asked to show above itself: by name, so that an address can put no words into our mouth."""

NOTES = {
    "signed-out": "You are signed out.",
    "requeued": "Put back. The worker takes it within seconds; reload to see what became of it.",
    "dead-requeued": "Put back into the inbox. It is handled like any other event now.",
    "dead-discarded": "Put aside. Its bytes stay.",
    "taken": "The case is yours until the time shown.",
    "given-back": "The case is free for others again.",
    "decided": "Decided. What was done is in the history.",
    "proposed": "Proposed. A second person has to agree before anything is done.",
    "named": "The mail is about that order now, and the case was judged by it.",
    "withdrawn": "The proposal is withdrawn. Nothing was done.",
}
