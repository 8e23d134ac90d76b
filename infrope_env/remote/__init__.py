"""Play from anywhere: one server on one port, a browser page, the window, and the environment over the network.

    PROTOCOL.md           the protocol, for authors of clients
    message.py            the base of all messages; client_messages.py and server_messages.py have them
    protocol.py           messages as bytes: a JSON header and a binary body, checked and bounded
    address.py            the address of a server, from its URL
    client.py             a client's connection, which comes back by itself; client_errors.py says why it cannot

    limits.py, access.py  bounds on what strangers and clients may ask; tokens and origins
    metrics.py            what a server measures
    frame_encoding.py     pixel frames as H.264 packets, JPEG files or raw bytes
    outbox.py             what waits to be sent to one client; a slow viewer loses whole blocks
    strips.py             what a block saw, with its pictures, for the inspectors of clients
    feed.py               the blocks of a rollout: numbered, encoded once, sent to everybody who looks
    attention_demand.py   attention is measured while a client asks for it
    live_play.py          a player's rollout, just in time, on the player package's stream
    agent_play.py         an agent's rollout, one block for each command
    session.py            one client over all its connections
    hosted_rollout.py     one place to play: environment, rollout, owner, feed
    lobby.py              all sessions: players, viewers, the queue
    world_facts.py        what every client is told about the environment
    client_handler.py     one connection of a client, from hello to the last message
    http_protocols.py     bounds on idle connections and on messages
    server.py             HTTP routes, the WebSocket, the port
    background.py         a server in a thread of a program
    env.py                infrope/Remote-v0: the environment on a server

    decoding.py           pixel frames from the body of a block
    jitter.py             blocks from a network, shown one after the other behind a small buffer
    keyboard.py           sends the keys of a player and keeps their receipts
    inspecting.py         asks for what blocks saw
    answers.py            answers of a server as the Futures that a session expects
    stream.py             a server's blocks as the stream of a play session: infrope play --connect
    page/                 the page for browsers: main.js joins the others, session.js is a live session

Importing this package imports none of its modules.
"""
