#!/usr/bin/env bash
# down.sh FOLDER: ends the Slurm that up.sh has started there, with its jobs.
PATH=$PATH:/usr/sbin:/usr/local/sbin
folder=$(realpath "$1")
export SLURM_CONF=$folder/slurm.conf

# Prints the processes that look after jobs. Each would outlive the rest, with its job.
steps() {
    for step in $(pgrep -x slurmstepd); do
        if [ "$(readlink "/proc/$step/cwd")" = "$folder/log" ]; then echo "$step"; fi
    done
}

# Whether a process runs: one that has ended stays as a zombie until somebody waits for it.
running() {
    [ -n "$(ps -o stat= -p "$1" | grep -v '^Z')" ]
}

all=--user=$(id -un)
if [ -n "$(steps)" ] && timeout 20 scancel "$all" --state=PENDING &&
    timeout 20 scancel "$all" --signal=KILL --full; then
    for _ in {1..100}; do
        if [ -z "$(steps)" ]; then break; fi
        sleep 0.1
    done
fi
# In this order: each needs those that come after it. One that is asked to end writes to the folder
# before it does so.
for name in slurmd slurmctld munge; do
    file=$folder/run/$name.pid
    if [ ! -s "$file" ]; then continue; fi
    pid=$(cat "$file")
    kill "$pid" 2>/dev/null || continue
    for _ in {1..300}; do
        if ! running "$pid"; then continue 2; fi
        sleep 0.1
    done
    kill -KILL "$pid"
done
# Those that Slurm could not end.
for step in $(steps); do
    for job in $(pgrep -P "$step"); do kill -KILL -- "-$job"; done
    kill -KILL "$step"
done
exit 0
