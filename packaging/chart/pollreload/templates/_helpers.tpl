{{- /* The name of everything that the chart installs. */ -}}
{{- define "pollreload.name" -}}
{{- .Values.nameOverride | default .Release.Name | trunc 50 | trimSuffix "-" -}}
{{- end -}}

{{- define "pollreload.labels" -}}
app.kubernetes.io/name: pollreload
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- /* The image, from values such as those of this chart. */ -}}
{{- define "pollreload.image" -}}
{{- $image := .image | default dict -}}
{{- $repository := $image.repository | default "@REPOSITORY@" -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository ($image.tag | default "@VERSION@") -}}
{{- end -}}
{{- end -}}
