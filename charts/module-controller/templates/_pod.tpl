{{/* What the pods of the operator and of the VNode provider have in common; config/manager and config/vnode say the same. */}}
{{- define "module-controller.podSecurityContext" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end }}

{{- define "module-controller.container" -}}
ports:
- name: metrics
  containerPort: 8080
- name: probes
  containerPort: 8082
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

{{/* The values' flags as arguments. */}}
{{- define "module-controller.flags" -}}
{{- range $name, $value := .Values.flags }}
{{- if ne (toString $value) "" }}
- {{ printf "--%s=%v" (kebabcase $name) $value | quote }}
{{- end }}
{{- end }}
{{- end }}
