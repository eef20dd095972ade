"""Trees of files that others have filled: walked, removed, written as tar archives and made from them.

Works on open folders and never resolves a path of a tree by itself: whoever calls opens the folders, and so
decides what a link in a path may mean. Standard library only.
"""
