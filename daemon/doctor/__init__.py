"""Looks at everything an installation stands on, and says what to do about what is not right. Changes nothing.

(Beyond the empty folders in ``.sweepd`` that the daemon makes as well.)
"""
