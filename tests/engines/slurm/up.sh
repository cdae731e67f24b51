#!/usr/bin/env bash
# up.sh FOLDER: starts a Slurm of one node on this machine, as root, with all its files in FOLDER.
# Its programs have to be installed: Debian's slurm-wlm and munge. down.sh ends it.
set -euo pipefail
PATH=$PATH:/usr/sbin:/usr/local/sbin
folder=$1
host=$(hostname -s)
mkdir -p "$folder"/{run,spool,state,log}
chmod 755 "$folder"

# What the parts of Slurm sign their messages with.
(umask 077 && head -c 1024 /dev/urandom >"$folder/munge.key")
munged --force --socket="$folder/run/munge.sock" --key-file="$folder/munge.key" \
    --pid-file="$folder/run/munge.pid" --log-file="$folder/log/munge.log" \
    --seed-file="$folder/run/munge.seed"

# Two free ports, so that several can run at once. They are none of those that the system gives to
# whoever asks for any: another program could get one before Slurm has it. Waits for the end of the
# program, which has the ports until then.
ports=$(python3 -c '
import random, socket
both = []
while len(both) < 2:
    one = socket.socket()
    try:
        one.bind(("127.0.0.1", random.randrange(20000, 32000)))
    except OSError:
        continue
    both.append(one)
print(*(one.getsockname()[1] for one in both))')
read -r first second <<<"$ports"

export SLURM_CONF=$folder/slurm.conf
cat >"$SLURM_CONF" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$first
SlurmdPort=$second
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket=$folder/run/munge.sock
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/run/slurmctld.pid
SlurmdPidFile=$folder/run/slurmd.pid
SlurmctldLogFile=$folder/log/slurmctld.log
SlurmdLogFile=$folder/log/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
ReturnToService=2
SchedulerParameters=sched_interval=1,bf_interval=1
NodeName=$host NodeAddr=127.0.0.1 CPUs=2 State=UNKNOWN
PartitionName=main Nodes=$host Default=YES MaxTime=INFINITE State=UP
END

slurmctld -f "$SLURM_CONF"
slurmd -f "$SLURM_CONF" -N "$host"
while ((SECONDS < 120)); do
    # It asks for minutes where nobody answers.
    if timeout 10 sinfo -h -o %T 2>/dev/null | grep -q idle; then exit 0; fi
    sleep 0.2
done
echo "the node does not get ready" >&2
tail -n 5 "$folder"/log/*.log >&2
exit 1
