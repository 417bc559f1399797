{{/* What the pods of the operator and of the VNode provider have in common; config/manager and config/vnode say the same. */}}

{{- define "module-controller.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "module-controller.ports" -}}
- name: metrics
  containerPort: 8080
- name: probes
  containerPort: 8082
{{- end }}

{{- define "module-controller.container" -}}
livenessProbe:
  httpGet:
    path: /healthz
    port: probes
  periodSeconds: 10
  timeoutSeconds: 5
readinessProbe:
  httpGet:
    path: /readyz
    port: probes
  periodSeconds: 5
  timeoutSeconds: 5
securityContext:
  allowPrivilegeEscalation: false
  readOnlyRootFilesystem: true
  capabilities:
    drop: [ALL]
{{- end }}

{{/* Where pods run: the values, or those under `vnode`. */}}
{{- define "module-controller.scheduling" -}}
{{- /* On machines, where the values don't choose nodes themselves: a VNode runs nothing but modules. */ -}}
{{- $machines := dict "key" "type" "operator" "NotIn" "values" (list "virtual-kubelet") -}}
{{- $terms := dict "nodeSelectorTerms" (list (dict "matchExpressions" (list $machines))) -}}
{{- $own := dict "nodeAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" $terms) -}}
affinity:
  {{- toYaml (merge dict (.affinity | default dict) $own) | nindent 2 }}
{{- with .nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* The image of a container, and when it is pulled. */}}
{{- define "module-controller.imageOf" -}}
image: {{ include "module-controller.image" . }}
{{- if ne .Values.image.pullPolicy "IfNotPresent" }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
{{- end }}
{{- end }}

{{/* The values' flags as arguments: "context", and "only" where not all of them are meant. */}}
{{- define "module-controller.flags" -}}
{{- range $namespace := .context.Values.namespaces }}
- --namespace={{ ternary "$(POD_NAMESPACE)" $namespace (eq $namespace $.context.Release.Namespace) }}
{{- end }}
{{- range $name, $value := .context.Values.flags }}
{{- if and (ne (toString $value) "") (or (not $.only) (has $name $.only)) }}
- {{ printf "--%s=%v" (kebabcase $name) $value | quote }}
{{- end }}
{{- end }}
{{- end }}

{{/* Further arguments: "value", the name of the value that they are in, and "args". Refuses what would break the pod. */}}
{{- define "module-controller.extraArgs" -}}
{{- $refused := dict
  "--leader-elect" "the chart sets it"
  "--leader-elect-namespace" "the Lease may be written in the release's namespace only"
  "--namespace" "the value namespaces sets it, with the Roles that it needs"
  "--metrics-bind-address" "the metrics' port is 8080"
  "--health-probe-bind-address" "the probes' port is 8082"
  "--dry-run" "it prints and ends, so that the pod would begin again and again" -}}
{{- $value := .value -}}
{{- range .args }}
{{- $flag := regexFind "^--[^=]+" . }}
{{- with get $refused $flag }}{{ fail (printf "%s: take %s out: %s" $value $flag .) }}{{ end }}
- {{ . | quote }}
{{- end }}
{{- end }}

{{/* Where the pod is. */}}
{{- define "module-controller.env" -}}
- name: POD_NAMESPACE
  valueFrom:
    fieldRef:
      fieldPath: metadata.namespace
- name: POD_NAME
  valueFrom:
    fieldRef:
      fieldPath: metadata.name
{{- end }}
