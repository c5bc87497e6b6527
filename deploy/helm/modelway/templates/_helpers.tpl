{{- define "modelway.selector" -}}
app.kubernetes.io/name: modelway
{{- if ne .Release.Name "modelway" }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
{{- end }}
{{- end }}

{{- define "modelway.labels" -}}
{{ include "modelway.selector" . }}
app.kubernetes.io/managed-by: {{ .Release.Service | quote }}
helm.sh/chart: {{ .Chart.Name }}-{{ .Chart.Version }}
{{- end }}

{{- define "modelway.prometheus" -}}
{{- range $name, $value := .Values.prometheusLabels }}
{{ $name }}: {{ $value | quote }}
{{- end }}
{{- end }}

{{- define "modelway.claim" -}}
{{- if .Values.ledger.existingClaim }}
{{- .Values.ledger.existingClaim }}
{{- else }}
{{- .Release.Name }}-data
{{- end }}
{{- end }}
