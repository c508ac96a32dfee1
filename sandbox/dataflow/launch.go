package dataflow

import (
	"context"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
)

// pipelineImage is the last part of the name of the images that this service
// can run: with the local binary of the same name.
const pipelineImage = "kappa-pipeline"

const (
	maxTemplateBytes = 1 << 20
	maxJobName       = 1024
)

var (
	jobNamePattern    = regexp.MustCompile(`^[a-z]([-a-z0-9]*[a-z0-9])?$`) // and no longer than maxJobName
	labelKeyPattern   = regexp.MustCompile(`^[\p{Ll}\p{Lo}][\p{Ll}\p{Lo}\p{N}_-]{0,62}$`)
	labelValuePattern = regexp.MustCompile(`^[\p{Ll}\p{Lo}\p{N}_-]{0,63}$`)
)

type templatesService struct {
	pb.UnimplementedFlexTemplatesServiceServer
	*Server
}

// LaunchFlexTemplate starts a job.
func (s templatesService) LaunchFlexTemplate(ctx context.Context, req *pb.LaunchFlexTemplateRequest) (*pb.LaunchFlexTemplateResponse, error) {
	if err := requireLocation(req.GetProjectId(), req.GetLocation()); err != nil {
		return nil, err
	}
	p := req.GetLaunchParameter()
	if err := checkLaunch(p); err != nil {
		return nil, err
	}
	spec, err := s.containerSpec(ctx, p)
	if err != nil {
		return nil, err
	}
	if err := checkImage(spec.GetImage()); err != nil {
		return nil, err
	}
	if err := checkParameters(spec.GetMetadata().GetParameters(), p.GetParameters()); err != nil {
		return nil, err
	}
	if s.cfg.PipelineBinary == "" {
		return nil, status.Error(codes.FailedPrecondition, "The sandbox was started without a "+pipelineImage+" binary and cannot run jobs.")
	}
	j, err := s.add(req, spec)
	if err != nil {
		return nil, err
	}
	if j == nil { // validate only
		return &pb.LaunchFlexTemplateResponse{}, nil
	}
	j.start()
	return &pb.LaunchFlexTemplateResponse{Job: j.launched()}, nil
}

// checkLaunch checks what can be checked without the template.
func checkLaunch(p *pb.LaunchFlexTemplateParameter) error {
	if p == nil {
		return status.Error(codes.InvalidArgument, "The request has no launch parameter.")
	}
	if !jobNamePattern.MatchString(p.GetJobName()) || len(p.GetJobName()) > maxJobName {
		return status.Errorf(codes.InvalidArgument, "The job name %q is invalid: it must match the regular expression [a-z]([-a-z0-9]{0,1022}[a-z0-9])?", p.GetJobName())
	}
	if err := checkUpdate(p); err != nil {
		return err
	}
	if len(p.GetLaunchOptions()) > 0 {
		return status.Error(codes.Unimplemented, "the sandbox's Dataflow service does not emulate launch_options")
	}
	labels := p.GetEnvironment().GetAdditionalUserLabels()
	if len(labels) > 64 {
		return status.Errorf(codes.InvalidArgument, "A job can have 64 labels, not %d.", len(labels))
	}
	for _, k := range slices.Sorted(maps.Keys(labels)) {
		if !labelKeyPattern.MatchString(k) || !labelValuePattern.MatchString(labels[k]) {
			return status.Errorf(codes.InvalidArgument, "The label %q with value %q is invalid: labels are lower-case letters, digits, _ and -, up to 63 characters, and keys begin with a letter.", k, labels[k])
		}
	}
	return nil
}

func checkImage(image string) error {
	if image == "" {
		return status.Error(codes.InvalidArgument, "The template names no image.")
	}
	name, _, _ := strings.Cut(path.Base(image), "@")
	name, _, _ = strings.Cut(name, ":")
	if name != pipelineImage {
		return status.Errorf(codes.InvalidArgument, "The sandbox cannot run the image %q: it runs no containers, only images named %s, by the local program of that name.", image, pipelineImage)
	}
	return nil
}

// checkParameters checks the given parameters against those that the template
// declares; a template without any takes what it is given.
func checkParameters(declared []*pb.ParameterMetadata, given map[string]string) error {
	if len(declared) == 0 {
		return nil
	}
	var bad []string
	known := map[string]bool{}
	for _, d := range declared {
		known[d.GetName()] = true
		value, ok := given[d.GetName()]
		if !ok {
			if !d.GetIsOptional() {
				bad = append(bad, d.GetName()+": Missing required parameter")
			}
			continue
		}
		for _, expr := range d.GetRegexes() {
			re, err := regexp.Compile("^(?:" + strings.TrimSuffix(strings.TrimPrefix(expr, "^"), "$") + ")$")
			if err != nil {
				bad = append(bad, fmt.Sprintf("%s: the template's regular expression %q is invalid", d.GetName(), expr))
			} else if !re.MatchString(value) {
				bad = append(bad, fmt.Sprintf("%s: Unmatched regex %q", d.GetName(), expr))
			}
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !known[name] {
			bad = append(bad, name+": Unrecognized parameter")
		}
	}
	if len(bad) > 0 {
		return status.Error(codes.InvalidArgument, "The template parameters are invalid. Details:\n"+strings.Join(bad, "\n"))
	}
	return nil
}

// containerSpec returns the template: given in the request, or read.
func (s *Server) containerSpec(ctx context.Context, p *pb.LaunchFlexTemplateParameter) (*pb.ContainerSpec, error) {
	if spec := p.GetContainerSpec(); spec != nil {
		return spec, nil
	}
	file := p.GetContainerSpecGcsPath()
	bucket, object, ok := strings.Cut(strings.TrimPrefix(file, "gs://"), "/")
	if !strings.HasPrefix(file, "gs://") || !ok || bucket == "" || object == "" {
		return nil, status.Errorf(codes.InvalidArgument, "The template path %q is invalid: it must be gs://BUCKET/OBJECT.", file)
	}
	base := s.cfg.StorageEndpoint
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	u := fmt.Sprintf("%s/download/storage/v1/b/%s/o/%s?alt=media", strings.TrimRight(base, "/"), url.PathEscape(bucket), url.PathEscape(object))
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u, nil)
	if err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "The template path %q is invalid: %v", file, err)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "Unable to open template file: %s: %v", file, err)
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusNotFound {
		return nil, status.Errorf(codes.NotFound, "Unable to open template file: %s.", file)
	}
	if resp.StatusCode != http.StatusOK {
		return nil, status.Errorf(codes.Unavailable, "Unable to open template file: %s: Cloud Storage answered %s", file, resp.Status)
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxTemplateBytes))
	if err != nil {
		return nil, status.Errorf(codes.Unavailable, "Unable to read template file: %s: %v", file, err)
	}
	spec := &pb.ContainerSpec{}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(data, spec); err != nil {
		return nil, status.Errorf(codes.InvalidArgument, "The template file %s is not a flex template: %v", file, err)
	}
	return spec, nil
}

// add enters a new job, unless it is only to be validated. One name has one
// active job per project and region, and a second one while that is updated.
func (s *Server) add(req *pb.LaunchFlexTemplateRequest, spec *pb.ContainerSpec) (*job, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil, status.Error(codes.Unavailable, "The service is shutting down.")
	}
	p := req.GetLaunchParameter()
	var active []*job
	for _, j := range s.jobs {
		if j.name == p.GetJobName() && j.project == req.GetProjectId() && j.location == req.GetLocation() && !terminal(j.currentState()) {
			active = append(active, j)
		}
	}
	var old *job
	if p.GetUpdate() {
		var err error
		if old, err = updatable(p.GetJobName(), active); err != nil {
			return nil, err
		}
	} else if len(active) > 0 {
		return nil, status.Errorf(codes.AlreadyExists, "There is already an active job named %s. If you want to submit a second job, try again by setting a different name.", p.GetJobName())
	}
	if req.GetValidateOnly() {
		return nil, nil
	}
	s.counter++
	now := time.Now()
	id := fmt.Sprintf("%s-%d", now.UTC().Format("2006-01-02_15_04_05"), uint64(now.UnixNano())%1e15*1000+s.counter%1000)
	j, err := newJob(s.cfg, id, req, spec, now, old)
	if err != nil {
		return nil, err
	}
	s.jobs = append(s.jobs, j)
	return j, nil
}
