{{- /*
The sidecar for a chart of your own, without injection: a native sidecar, for
initContainers. Takes a dict:

  values   the values of this chart, as .Values.pollreload if it is a dependency
  options  options of pollreload watch, by name: process, signal, ...
  mounts   volumeMounts of the files to watch; they are made read-only and watched,
           unless options has file
  user     runAsUser of the application
  group    runAsGroup of the application (optional)

  shareProcessNamespace: true
  initContainers:
    {{- include "pollreload.sidecar" (dict "values" .Values.pollreload
          "options" (dict "process" "nginx")
          "mounts" (list (dict "name" "config" "mountPath" "/etc/nginx/conf.d"))
          "user" 101) | nindent 4 }}
  volumes:
    {{- include "pollreload.volume" . | nindent 4 }}
*/ -}}
{{- define "pollreload.sidecar" -}}
{{- $values := .values | default dict -}}
{{- $options := .options | default dict -}}
{{- $mounts := required "pollreload.sidecar: mounts is missing" .mounts -}}
{{- $paths := list -}}
{{- range $mounts }}{{ $paths = append $paths .mountPath }}{{ end -}}
- name: pollreload
  image: {{ include "pollreload.image" $values | toJson }}
  imagePullPolicy: {{ ($values.image | default dict).pullPolicy | default "IfNotPresent" }}
  restartPolicy: Always
  args: [watch]
  env:
    {{- range $name, $value := $options }}
    {{- if not (has $name (list "file" @FIXED@)) }}
    - name: POLLRELOAD_{{ $name | replace "-" "_" | upper }}
      value: {{ $value | toString | replace "$" "$$" | toJson }}
    {{- end }}
    {{- end }}
    - name: POLLRELOAD_FILE
      value: {{ $options.file | default (join ":" $paths) | toJson }}
    - name: POLLRELOAD_STATE_FILE
      value: /var/lib/pollreload/ledger
    - name: POLLRELOAD_STATUS_FILE
      value: /var/lib/pollreload/status
  volumeMounts:
    {{- range $mounts }}
    - {{ mustMergeOverwrite (deepCopy .) (dict "readOnly" true) | toJson }}
    {{- end }}
    - name: pollreload-state
      mountPath: /var/lib/pollreload
  {{- with $options.listen }}
  ports:
    - name: metrics
      containerPort: {{ splitList ":" . | last | int }}
  {{- end }}
  startupProbe:
    exec: {command: [pollreload, status, /var/lib/pollreload/status]}
    periodSeconds: 1
    timeoutSeconds: 5
    failureThreshold: 120
  livenessProbe:
    exec: {command: [pollreload, status, /var/lib/pollreload/status]}
    periodSeconds: 30
    timeoutSeconds: 10
    failureThreshold: 3
  resources: {{ $values.resources | default (dict "requests" (dict "cpu" "5m" "memory" "16Mi") "limits" (dict "memory" "64Mi")) | toJson }}
  securityContext:
    runAsUser: {{ required "pollreload.sidecar: user is missing" .user | toString | int64 }}
    runAsNonRoot: {{ ne (.user | toString | int64) 0 }}
    {{- with .group }}
    runAsGroup: {{ . | toString | int64 }}
    {{- end }}
    allowPrivilegeEscalation: false
    readOnlyRootFilesystem: true
    capabilities: {drop: [ALL]}
    seccompProfile: {type: RuntimeDefault}
{{- end -}}

{{- /* The volume that pollreload.sidecar mounts. */ -}}
{{- define "pollreload.volume" -}}
- name: pollreload-state
  emptyDir: {sizeLimit: 1Mi}
{{- end -}}
