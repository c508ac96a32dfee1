package dataflow

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Config configures a Server.
type Config struct {
	Log             *slog.Logger
	Listen          string   // address, host:port; empty: a free port on loopback
	StorageEndpoint string   // Cloud Storage that templates are read from, host:port or http://host:port
	PipelineBinary  string   // kappa-pipeline; empty: every launch is refused
	ChildEnv        []string // NAME=VALUE, added to this process's environment for the children
	Dir             string   // folder of the jobs' logs, created if missing; empty: no files
	Script          Script   // stands between the clients and the service; nil: nothing does
}

// Validate checks c.
func (c Config) Validate() error {
	if c.Log == nil {
		return errors.New("dataflow: no logger")
	}
	if c.StorageEndpoint == "" {
		return errors.New("dataflow: no Cloud Storage endpoint to read templates from")
	}
	for _, e := range c.ChildEnv {
		if !strings.Contains(e, "=") {
			return fmt.Errorf("dataflow: %q in the children's environment is not NAME=VALUE", e)
		}
	}
	return nil
}

// Server is the emulated service.
type Server struct {
	cfg      Config
	listener net.Listener
	grpc     *grpc.Server
	http     *http.Client // to Cloud Storage
	serving  sync.WaitGroup

	mu      sync.Mutex
	jobs    []*job // in order of creation
	counter uint64
	closed  bool
}

// New starts the service.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0" // invariant A4: loopback unless told otherwise
	}
	if cfg.Dir != "" {
		if err := os.MkdirAll(cfg.Dir, 0o755); err != nil {
			return nil, fmt.Errorf("dataflow: folder of job logs: %w", err)
		}
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("dataflow: listen: %w", err)
	}
	s := &Server{cfg: cfg, listener: l, http: &http.Client{
		Timeout: 30 * time.Second,
		// No proxy: the storage of the sandbox is on loopback. No idle
		// connections: they would outlive Close.
		Transport: &http.Transport{DisableKeepAlives: true},
	}}
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.intercept), grpc.UnknownServiceHandler(refuseUnknown))
	pb.RegisterJobsV1Beta3Server(s.grpc, jobsService{Server: s})
	pb.RegisterMetricsV1Beta3Server(s.grpc, metricsService{Server: s})
	pb.RegisterMessagesV1Beta3Server(s.grpc, messagesService{Server: s})
	pb.RegisterFlexTemplatesServiceServer(s.grpc, templatesService{Server: s})
	s.serving.Go(func() {
		if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			cfg.Log.Error("dataflow service stopped", "error", err)
		}
	})
	return s, nil
}

// Addr is the address of the service, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops the service and kills the jobs that run: as nothing of theirs
// was acknowledged, nothing is lost. It returns once every child has ended.
func (s *Server) Close() error {
	s.mu.Lock()
	s.closed = true
	jobs := append([]*job(nil), s.jobs...)
	s.mu.Unlock()
	var wg sync.WaitGroup
	for _, j := range jobs {
		wg.Go(j.stop)
	}
	wg.Wait()
	s.grpc.Stop()
	s.serving.Wait()
	return nil
}

// intercept names the method in every refusal of one that is not emulated.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := s.cfg.Script.call(ctx, req, func(ctx context.Context, req any) (any, error) { return s.serve(ctx, req, handler) })
	if status.Code(err) == codes.Unimplemented && strings.HasPrefix(status.Convert(err).Message(), "method ") {
		return nil, unimplemented(info.FullMethod)
	}
	if err != nil {
		s.cfg.Log.Debug("dataflow call refused", "method", info.FullMethod, "error", err)
	}
	return resp, err
}

// serve answers a request. Handler answers those of the call that came in; a script
// can make some others.
func (s *Server) serve(ctx context.Context, req any, handler grpc.UnaryHandler) (any, error) {
	switch req := req.(type) {
	case *pb.LaunchFlexTemplateRequest:
		return templatesService{Server: s}.LaunchFlexTemplate(ctx, req)
	case *pb.GetJobRequest:
		return jobsService{Server: s}.GetJob(ctx, req)
	case *pb.UpdateJobRequest:
		return jobsService{Server: s}.UpdateJob(ctx, req)
	}
	return handler(ctx, req)
}

func refuseUnknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return unimplemented(method)
}

func unimplemented(method string) error {
	return status.Errorf(codes.Unimplemented, "the sandbox's Dataflow service does not emulate %s", strings.TrimPrefix(method, "/"))
}

// requireLocation refuses calls without a regional endpoint: on the real
// service they reach one region only, which is never what was meant.
func requireLocation(project, location string) error {
	if project == "" {
		return status.Error(codes.InvalidArgument, "The request has no project id.")
	}
	if location == "" {
		return status.Error(codes.InvalidArgument, "The request has no location: name the regional endpoint that has the job.")
	}
	return nil
}

// find returns a job.
func (s *Server) find(project, location, id string) (*job, error) {
	if err := requireLocation(project, location); err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, j := range s.jobs {
		if j.id == id && j.project == project && j.location == location {
			return j, nil
		}
	}
	return nil, notFound(id)
}

func notFound(id string) error {
	return status.Errorf(codes.NotFound, "Information about job %s could not be found in our system. "+
		"Please double check the id and the location.", id)
}
