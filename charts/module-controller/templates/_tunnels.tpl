{{/* How bases announce themselves to the VNode provider; config/vnode-http and config/vnode-mqtt say the same. */}}

{{/* Refuses, with what to change, what the provider would refuse when it starts, or what would have no effect. */}}
{{- define "module-controller.tunnelChecks" -}}
{{- $http := .Values.vnode.http -}}
{{- $mqtt := .Values.vnode.mqtt -}}
{{- if not (or .Values.vnode.discoverBases $http.enabled $mqtt.broker) -}}
{{- fail "the VNode provider would find no bases: set vnode.discoverBases, vnode.http.enabled or vnode.mqtt.broker" -}}
{{- end -}}
{{- if and $http.tokenSecret.name (not $http.enabled) -}}
{{- fail "vnode.http.tokenSecret has no effect without vnode.http.enabled: set both" -}}
{{- end -}}
{{- $ofTls := dict "caSecret" $mqtt.caSecret.name "clientCertificateSecret" $mqtt.clientCertificateSecret.name -}}
{{- $all := merge (dict "version" $mqtt.version "username" $mqtt.username "passwordSecret" $mqtt.passwordSecret.name) $ofTls -}}
{{- range $name, $value := $all -}}
{{- if and $value (not $mqtt.broker) -}}
{{- fail (printf "vnode.mqtt.%s has no effect without vnode.mqtt.broker: set it, for example to mqtts://broker.example.com:8883" $name) -}}
{{- end -}}
{{- end -}}
{{- range $name, $value := $ofTls -}}
{{- if and $value (hasPrefix "mqtt:" $mqtt.broker) -}}
{{- fail (printf "vnode.mqtt.%s is for TLS: begin vnode.mqtt.broker with mqtts://" $name) -}}
{{- end -}}
{{- end -}}
{{- if and $mqtt.passwordSecret.name (not $mqtt.username) -}}
{{- fail "vnode.mqtt.passwordSecret needs vnode.mqtt.username: set both" -}}
{{- end -}}
{{- end }}

{{/* The provider's arguments. */}}
{{- define "module-controller.tunnelArgs" -}}
{{- with .Values.vnode.http }}
{{- if .enabled }}
- --tunnel-bind-address=:7777
{{- if .tokenSecret.name }}
- --tunnel-token-file=/http/token
{{- end }}
{{- end }}
{{- end }}
{{- with .Values.vnode.mqtt }}
{{- if .broker }}
- {{ printf "--mqtt-broker=%s" .broker | quote }}
{{- with .version }}
- {{ printf "--mqtt-version=%v" . | quote }}
{{- end }}
{{- if .caSecret.name }}
- --mqtt-ca-file=/mqtt/ca.crt
{{- end }}
{{- if .clientCertificateSecret.name }}
- --mqtt-client-cert-file=/mqtt/tls.crt
- --mqtt-client-key-file=/mqtt/tls.key
{{- end }}
{{- with .username }}
- {{ printf "--mqtt-username=%s" . | quote }}
{{- end }}
{{- if .passwordSecret.name }}
- --mqtt-password-file=/mqtt/password
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/*
The folders with the files of Secrets: a map from each to the sources of its volume. Whole folders and not single files, so that
a Secret that changes is seen.
*/}}
{{- define "module-controller.tunnelFiles" -}}
{{- with .Values.vnode.http.tokenSecret }}
{{- if .name }}
http:
{{- include "module-controller.fromSecret" (dict "name" .name "items" (dict "token" .key)) }}
{{- end }}
{{- end }}
{{- with .Values.vnode.mqtt }}
{{- if or .caSecret.name .clientCertificateSecret.name .passwordSecret.name }}
mqtt:
{{- with .caSecret }}
{{- include "module-controller.fromSecret" (dict "name" .name "items" (dict "ca.crt" .key)) }}
{{- end }}
{{- with .clientCertificateSecret }}
{{- $items := dict "tls.crt" .certificateKey "tls.key" .privateKeyKey }}
{{- include "module-controller.fromSecret" (dict "name" .name "items" $items) }}
{{- end }}
{{- with .passwordSecret }}
{{- include "module-controller.fromSecret" (dict "name" .name "items" (dict "password" .key)) }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{/* A source of a projected volume: "name" of the Secret, and "items", the key in it for each file. */}}
{{- define "module-controller.fromSecret" -}}
{{- if .name }}
- secret:
    name: {{ .name }}
    items:
    {{- range $path, $key := .items }}
    - key: {{ $key | quote }}
      path: {{ $path }}
    {{- end }}
{{- end }}
{{- end }}
