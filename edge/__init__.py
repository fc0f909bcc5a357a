"""aigate: the door of a home AI server.

Five nouns, and how they meet:

- an **arrival** is a request whose head is complete and well formed (`wire`);
- a **route** says which service an address belongs to; without one there is nothing there (`web.router`);
- a **caller** is who stands behind a key, as far as the key's rules let them in (`web.guard`, `auth`);
- a **service** is one AI server behind the gate and what its plugin knows of that kind (`plugins`, `backends`);
- an **outcome** is the one event that ends every request, which logs, metrics, usage and budgets all read (`observe`).
"""

__version__ = "0.1.0"
