"""The time from a key to its pixel in the browser beside that in the local window.

command.py alternates the two and prints the table; arms.py has the local window under Xvfb and the page in Chromium,
both with real keys; window.py is the process of the local window, which prints what it measures.
"""
