{{/* The labels of every object. */}}
{{- define "module-controller.labels" -}}
app.kubernetes.io/name: module-controller
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "module-controller.image" -}}
{{- $image := printf "%s:%s" .Values.image.repository (.Values.image.tag | default .Chart.AppVersion) -}}
{{- with .Values.image.digest }}{{ $image = printf "%s@%s" $.Values.image.repository . }}{{ end -}}
{{- $image -}}
{{- end }}

{{/* The accounts in files/, and what the values call them. */}}
{{- define "module-controller.accounts" -}}
module-deployment-controller-manager: {{ .Values.serviceAccount.name | quote }}
module-vnode-provider: {{ .Values.vnode.serviceAccount.name | quote }}
{{- end }}

{{/*
The objects of a file under files/, which are those of kustomize: "context", "file", and optionally "annotations" and "labels"
for each. V1's namespace becomes the release's, accounts those of the values, and every object gets the chart's labels.
*/}}
{{- define "module-controller.objects" -}}
{{- $context := .context -}}
{{- $annotations := .annotations -}}
{{- $labels := .labels | default dict -}}
{{- $accounts := include "module-controller.accounts" $context | fromYaml -}}
{{- $text := $context.Files.Get .file | required (printf "%s is not in the chart" .file) -}}
{{- range regexSplit "(?m)^---\\s*$" $text -1 }}
{{- $object := fromYaml . -}}
{{- with $object }}
{{- $own := include "module-controller.labels" $context | fromYaml -}}
{{- $_ := set .metadata "labels" (merge $own (.metadata.labels | default dict) $labels) -}}
{{- with $annotations }}{{ $_ := set $object.metadata "annotations" (merge . ($object.metadata.annotations | default dict)) }}{{ end -}}
{{- if eq (.metadata.namespace | default "") "module-deployment-system" }}{{ $_ := set .metadata "namespace" $context.Release.Namespace }}{{ end -}}
{{- range .subjects }}
{{- $_ := set . "namespace" $context.Release.Namespace -}}
{{- $_ := set . "name" (get $accounts .name | required (printf "%s has no value" .name)) -}}
{{- end }}
---
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

{{/*
A ClusterRole and its binding from files/ as a Role and a RoleBinding in each of the values' namespaces: "context" and "files".
*/}}
{{- define "module-controller.namespaced" -}}
{{- $context := .context -}}
{{- $files := .files -}}
{{- range $namespace := $context.Values.namespaces }}
{{- range $file := $files }}
{{- range regexSplit "(?m)^---\\s*$" (include "module-controller.objects" (dict "context" $context "file" $file)) -1 }}
{{- with fromYaml . }}
{{- $_ := set . "kind" (trimPrefix "Cluster" .kind) -}}
{{- $_ := set .metadata "namespace" $namespace -}}
{{- with .roleRef }}{{ $_ := set . "kind" "Role" }}{{ end }}
---
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
