"""Endurance: thousands of blocks of random play, and whether memory, files, threads and time stay flat."""
