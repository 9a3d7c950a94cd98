{{- define "bridge.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "bridge.fullname" -}}
{{- $name := include "bridge.name" . -}}
{{- $named := contains $name .Release.Name | ternary .Release.Name (printf "%s-%s" .Release.Name $name) -}}
{{- default $named .Values.fullnameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "bridge.selectorLabels" -}}
app.kubernetes.io/name: {{ include "bridge.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "bridge.labels" -}}
{{ include "bridge.selectorLabels" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "bridge.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (ternary (include "bridge.fullname" .) "default" .Values.serviceAccount.create) -}}
{{- end -}}

{{- define "bridge.image" -}}
{{- with .Values.image -}}
{{- .digest | empty | ternary (printf "%s:%s" .repository (.tag | default $.Chart.AppVersion)) (printf "%s@%s" .repository .digest) -}}
{{- end -}}
{{- end -}}

{{/* What holds where `config` is silent; a test compares it with the bridge's own defaults. */}}
{{- define "bridge.defaults" -}}
metricsPort: 9464
groupProtocol: classic
sessionTimeout: 30s
brokerSessionTimeout: 45s
lease: 12s
leaving: 20s
{{- end -}}

{{- define "bridge.metricsPort" -}}
{{- $defaults := include "bridge.defaults" . | fromYaml -}}
{{- ((.Values.config).metrics).port | default $defaults.metricsPort -}}
{{- end -}}

{{/* A duration of the configuration, such as 500ms or 2m, in whole seconds, rounded up. */}}
{{- define "bridge.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- mulf (regexFind "^[0-9]+" . | float64) (get $units (regexFind "[a-z]+$" .)) | ceil | int64 -}}
{{- end -}}

{{/* A drain ends before the session and the lease do; then the bridge leaves the group, and 10 s are to spare. */}}
{{- define "bridge.gracePeriod" -}}
{{- $defaults := include "bridge.defaults" . | fromYaml -}}
{{- $kafka := .Values.config.kafka -}}
{{- $session := $kafka.session_timeout | default $defaults.sessionTimeout -}}
{{- if eq ($kafka.group_protocol | default $defaults.groupProtocol) "consumer" -}}
{{- $session = $defaults.brokerSessionTimeout -}}
{{- end -}}
{{- $lease := .Values.config.lease | default $defaults.lease -}}
{{- $drain := min (include "bridge.seconds" $session) (include "bridge.seconds" $lease) -}}
{{- $needed := add $drain (include "bridge.seconds" $defaults.leaving) 10 -}}
{{- $given := int64 .Values.terminationGracePeriodSeconds -}}
{{- if and $given (lt $given $needed) -}}
{{- fail (printf "terminationGracePeriodSeconds %d: write at least %d, or 0: a drain may take %ds, which is the session timeout or the lease, leaving the group %s more" $given $needed $drain $defaults.leaving) -}}
{{- end -}}
{{- $given | default $needed -}}
{{- end -}}
