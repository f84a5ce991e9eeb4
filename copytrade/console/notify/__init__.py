"""Messages to the operator and to whom they name: e-mail, webhooks, chats.

notices   what is told, and how grave it is
fills     what a signal came to, out of the ledger's file
sending   to one address: in order, bounded, tried again, many as one
watching  where notices come from, and when
"""
