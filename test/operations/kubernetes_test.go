package operations

import (
	"errors"
	"io"
	"path"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"

	"github.com/kappa-migrate/kappa/jobspecs"
)

// object is what the test reads of a Kubernetes object.
type object struct {
	Kind     string
	Metadata struct{ Name, Namespace string }
	Data     map[string]string
	Spec     struct {
		ServiceName         string `yaml:"serviceName"`
		ServiceAccountName  string
		Selector            any
		PodMetricsEndpoints []struct{ Port, Path string } `yaml:"podMetricsEndpoints"`
		Template            struct {
			Metadata struct{ Labels map[string]string }
			Spec     struct {
				ServiceAccountName            string `yaml:"serviceAccountName"`
				TerminationGracePeriodSeconds int    `yaml:"terminationGracePeriodSeconds"`
				Containers                    []container
				Volumes                       []struct {
					Name      string
					ConfigMap struct{ Name string } `yaml:"configMap"`
					Secret    struct {
						SecretName string `yaml:"secretName"`
					}
				}
			}
		}
	}
}

type probe struct {
	HTTPGet struct{ Path, Port string } `yaml:"httpGet"`
}

type container struct {
	Args  []string
	Env   []struct{ Name string }
	Ports []struct {
		Name          string
		ContainerPort int `yaml:"containerPort"`
	}
	LivenessProbe  probe `yaml:"livenessProbe"`
	ReadinessProbe probe `yaml:"readinessProbe"`
	Resources      struct {
		Requests, Limits map[string]string
	}
	VolumeMounts []struct {
		Name      string
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
}

// manifest reads the objects of the example.
func manifest(t *testing.T) map[string]object {
	t.Helper()
	objects := map[string]object{}
	dec := yaml.NewDecoder(strings.NewReader(read(t, examples+"/kubernetes.yaml")))
	for {
		var o object
		if err := dec.Decode(&o); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		objects[o.Kind] = o
		if o.Metadata.Namespace != "kappa" {
			t.Errorf("%s %s is in namespace %q", o.Kind, o.Metadata.Name, o.Metadata.Namespace)
		}
	}
	for _, kind := range []string{"ServiceAccount", "ConfigMap", "Service", "StatefulSet", "PodDisruptionBudget", "PodMonitor"} {
		if objects[kind].Kind == "" {
			t.Fatalf("there is no %s", kind)
		}
	}
	return objects
}

// TestKubernetes: what the manifest says about the bridge fits the spec in it
// and the program.
func TestKubernetes(t *testing.T) {
	objects := manifest(t)
	spec := load(t, "bridge.yaml", objects["ConfigMap"].Data["bridge.yaml"])
	set := objects["StatefulSet"].Spec
	pod := set.Template.Spec
	if len(pod.Containers) != 1 {
		t.Fatalf("%d containers", len(pod.Containers))
	}
	c := pod.Containers[0]
	if err := parseCommand(c.Args); err != nil {
		t.Errorf("args %q: %v", c.Args, err)
	}
	if i := slices.Index(c.Args, "--instance-id"); i < 0 || c.Args[i+1] != "$(POD_NAME)" || len(c.Env) != 1 || c.Env[0].Name != "POD_NAME" {
		t.Errorf("the pod's name is not the instance id: %q", c.Args)
	}
	if set.ServiceName != objects["Service"].Metadata.Name || pod.ServiceAccountName != objects["ServiceAccount"].Metadata.Name {
		t.Error("the names of the service or the account do not fit")
	}
	_, port, _ := strings.Cut(spec.Spec.Listen, ":")
	if c.Ports[0].Name != "metrics" || strconv.Itoa(c.Ports[0].ContainerPort) != port {
		t.Errorf("listen is %s, the container's port %d", spec.Spec.Listen, c.Ports[0].ContainerPort)
	}
	for want, p := range map[string]probe{"/livez": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p.HTTPGet.Path != want || p.HTTPGet.Port != "metrics" {
			t.Errorf("%s: %+v", want, p)
		}
	}
	if m := objects["PodMonitor"].Spec.PodMetricsEndpoints; len(m) != 1 || m[0].Port != "metrics" || m[0].Path != "/metrics" {
		t.Errorf("PodMonitor: %+v", m)
	}
	if drain := spec.Spec.Limits.Drain.D().Seconds(); float64(pod.TerminationGracePeriodSeconds) < 2*drain {
		t.Errorf("terminationGracePeriodSeconds is %d, limits.drain %g s: the last commit and leaving need time too", pod.TerminationGracePeriodSeconds, drain)
	}
	limit, err := jobspecs.ParseBytes(c.Resources.Limits["memory"] + "B")
	if err != nil {
		t.Fatal(err)
	}
	heap := spec.Spec.Limits.Memory + spec.Spec.Limits.Memory/4 + 32<<20 // as the program limits itself
	if limit < heap+heap/4 {
		t.Errorf("the container's memory limit is %s; a heap of %s needs a quarter more", limit, heap)
	}
	testFiles(t, objects, spec)
}

// testFiles: the files that the spec and the arguments name are mounted.
func testFiles(t *testing.T, objects map[string]object, spec *jobspecs.Bridge) {
	pod := objects["StatefulSet"].Spec.Template.Spec
	c := pod.Containers[0]
	source := spec.Spec.Sources["onprem"]
	for _, file := range []string{c.Args[slices.Index(c.Args, "-f")+1], source.SASL.Password.File, source.TLS.CAFile} {
		mounted := false
		for _, m := range c.VolumeMounts {
			for _, v := range pod.Volumes {
				mounted = mounted || m.MountPath == path.Dir(file) && v.Name == m.Name && (v.ConfigMap.Name != "" || v.Secret.SecretName != "")
			}
		}
		if !mounted {
			t.Errorf("%q is not mounted", file)
		}
	}
}
