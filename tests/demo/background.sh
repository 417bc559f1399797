# Sourced by `up`, `down` and `shell`: where the demo in the background keeps its things, and whether it runs.

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
repository=${here%/tests/demo}
folder=$repository/target/demo/up
pid_file=$folder/pid log=$folder/log environment=$folder/environment

# start_time PID: when a process began, in the kernel's ticks. Together with the pid it names one process for ever.
start_time() {
  local stat
  stat=$(<"/proc/$1/stat") || return 1
  # The command's name, which may hold anything, ends with the last bracket.
  stat=${stat##*) }
  set -- $stat
  echo "${20}"
}

# running: whether the demo runs; sets leader, the pid of with-cluster.
running() {
  local began
  [[ -s $pid_file ]] || return 1
  read -r leader began <"$pid_file"
  [[ $(start_time "$leader" 2>/dev/null) == "$began" ]]
}

# end: ends it in good order, and with force if that takes too long.
end() {
  local i
  if running; then
    kill -TERM "$leader"
    for ((i = 0; i < 300; i++)); do
      running || break
      sleep 0.1
    done
    if running; then kill -KILL "$leader"; fi
  fi
  rm -f "$pid_file" "$environment"
}

# inside: the process whose namespaces are the demo's: the first descendant of with-cluster with another network.
inside() {
  local pid=$leader next own
  own=$(readlink /proc/self/ns/net)
  while [[ $(readlink "/proc/$pid/ns/net") == "$own" ]]; do
    next=
    read -r next _ <"/proc/$pid/task/$pid/children" || true
    [[ -n $next ]] || return 1
    pid=$next
  done
  echo "$pid"
}
