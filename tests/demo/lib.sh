# Sourced by `story` and `stay`, which run inside with-cluster: steps with their times, the bases, the
# operator. The caller has `set -euo pipefail` and sets nothing else.

here=$(cd "${BASH_SOURCE[0]%/*}" && pwd)
repository=${here%/tests/demo}
state=${RIG_STATE:?the demo starts with make demo}
jars=$repository/target/samples
logs=$state/logs
: "${DEMO_BEGAN:=$EPOCHREALTIME}"

# Where the operator listens: the bases have 8080 for themselves.
probes=127.0.0.1:8082
metrics=127.0.0.1:8083
# The first base's Arklet; the next one's is one higher, because Arklet listens on all addresses.
first_port=1241

base_names=() base_addresses=() base_ports=() base_pids=()
operator_pid=
step_number=0 step_text='' opened=false

# elapsed: seconds since the demo began, to a tenth.
elapsed() {
  local tenths=$(((${EPOCHREALTIME//[!0-9]/} - ${DEMO_BEGAN//[!0-9]/}) / 100000))
  echo "$((tenths / 10)).$((tenths % 10))"
}

# step TEXT: begins a step. On a terminal its line is there while it runs.
step() {
  step_number=$((step_number + 1)) step_text=$* opened=false
  [[ ! -t 1 ]] || printf '[%6s s]   %2d. %s ...' "$(elapsed)" "$step_number" "$step_text"
}

# open: ends the line of a step that goes on with lines of its own.
open() {
  opened=true
  if [[ -t 1 ]]; then echo; else printf '[%6s s]   %2d. %s\n' "$(elapsed)" "$step_number" "$step_text"; fi
}

# ok [TEXT]: the step has succeeded; TEXT says how, where the step had lines of its own.
ok() {
  if $opened; then
    printf '[%6s s] ✓     %s\n' "$(elapsed)" "$*"
  else
    [[ ! -t 1 ]] || printf '\r\e[K'
    printf '[%6s s] ✓ %2d. %s\n' "$(elapsed)" "$step_number" "$step_text"
  fi
}

# say TEXT: a line below a step.
say() {
  printf '                  %s\n' "$*"
}

fail() {
  [[ ! -t 1 ]] || echo
  echo "demo: $*" >&2
  exit 1
}

# within SECONDS WHAT CMD...: tries CMD until it succeeds.
within() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    ((SECONDS < end)) || fail "waited in vain: $what; the logs are in $logs"
    sleep 0.1
  done
}

# --- bases ---

# ask BASE COMMAND: sends a command without arguments to a base's Arklet.
ask() {
  curl --silent --fail --max-time 5 --data '{}' "http://${base_addresses[$1]}:${base_ports[$1]}/$2"
}

# Each JVM listens on the address that its pod got. The pod says which port its Arklet has.
start_bases() {
  local name address port i=0
  kubectl apply -f "$repository/samples/base-deployment.yaml" >/dev/null
  kubectl rollout status deployment/base --timeout=60s >/dev/null || fail "the pods of the bases don't start"
  while read -r name address; do
    port=$((first_port + i))
    kubectl annotate pod "$name" "koupleless.io/arklet-port=$port" >/dev/null
    # Out of reach of Ctrl-C, so that the demo can end in good order, and never left behind.
    setsid setpriv --pdeathsig KILL "$repository/samples/java/run-base" --jars "$jars" --work "$state/bases" \
      "$address" "$port" "$logs/base-$((i + 1)).log" </dev/null &
    base_names+=("$name") base_addresses+=("$address") base_ports+=("$port") base_pids+=($!)
    i=$((i + 1))
  done < <(kubectl get pods -l app=base --sort-by=.metadata.name \
    -o jsonpath='{range .items[*]}{.metadata.name} {.status.podIP}{"\n"}{end}')
  for i in "${!base_pids[@]}"; do
    within 90 "the Arklet of base ${base_names[$i]} answers" answers_or_ended "$i"
    kill -0 "${base_pids[$i]}" 2>/dev/null ||
      fail "the JVM of base ${base_names[$i]} ended: $(tail -n 1 "$logs/base-$((i + 1)).log")"
  done
}

answers_or_ended() {
  ask "$1" queryAllBiz || ! kill -0 "${base_pids[$1]}"
}

# --- operator ---

start_operator() {
  kubectl apply -k "$repository/crds" >/dev/null
  kubectl wait --for=condition=Established --timeout=30s crd --all >/dev/null || fail "the API server doesn't take the CRDs"
  KUBECONFIG=$RIG_OPERATOR_KUBECONFIG setsid setpriv --pdeathsig KILL \
    "$repository/target/release/module-controller" --health-probe-bind-address "$probes" \
    --metrics-bind-address "$metrics" </dev/null >"$logs/operator.log" 2>&1 &
  operator_pid=$!
  within 30 "the operator is ready" ready_or_ended
  kill -0 "$operator_pid" 2>/dev/null || fail "the operator ended: $(tail -n 1 "$logs/operator.log")"
}

ready_or_ended() {
  curl --silent --fail --max-time 2 "http://$probes/readyz" || ! kill -0 "$operator_pid"
}

# The sample with the url of the jar that was built here.
write_manifest() {
  sed "s|file:///modules/|file://$jars/|" "$repository/samples/moduledeployment.yaml" >"$1"
}

# Ends what was started here; the control plane is with-cluster's to end.
stop_all() {
  local pid
  for pid in $operator_pid "${base_pids[@]}"; do
    kill -TERM "$pid" 2>/dev/null || true
  done
  for pid in $operator_pid "${base_pids[@]}"; do
    wait "$pid" 2>/dev/null || true
  done
}
