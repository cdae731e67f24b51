"""What distribution archives are made of, and where they are kept.

```
files      where modules lie
closure    which others they reach
contents   what goes in, and why
zipped     as a zip
store      where it is kept: BANDSAW_HOME/archives/DIGEST to run from, DIGEST.pyz to send
start      the first steps of a process that runs from one
```
"""
