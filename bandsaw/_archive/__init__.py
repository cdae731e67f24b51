"""What distribution archives are made of, and where they are kept.

```
locate          where modules lie
imports         what their sources import
folders         what of a folder is worth sending
closure         which others they reach, by imports and at run time, with their packages
missing         notes on failures for want of what was not sent
selection       what goes in, and why
zip_archive     what one holds, as a zip or a folder, and the one that this process was started from
keep            the folder in which archives are kept
unpack          one that is unpacked, with the files that it shares
arriving        one that comes from another machine
process_folder  the folder for where none can be kept
stores          where an archive can be had from, and put
checkout        the code on this machine, for processes here
edited          files that were changed after they were loaded
beside          the code on this machine, for processes that an archive started
finder          how these find it
start           the first steps of a process that runs from one
```
"""
