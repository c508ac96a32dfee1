package transfer

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"strings"
	"sync"
	"time"

	pb "cloud.google.com/go/bigquery/datatransfer/apiv1/datatransferpb"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Config configures a Server.
type Config struct {
	Log      *slog.Logger
	Listen   string           // address, host:port; empty: a free port on loopback
	BigQuery string           // BigQuery that queries are run by, host:port
	Now      func() time.Time // nil: time.Now
}

// Validate checks c.
func (c Config) Validate() error {
	if c.Log == nil {
		return errors.New("transfer: no logger")
	}
	if c.BigQuery == "" {
		return errors.New("transfer: no BigQuery to run queries by")
	}
	return nil
}

// Server is the emulated service.
type Server struct {
	pb.UnimplementedDataTransferServiceServer

	cfg      Config
	listener net.Listener
	grpc     *grpc.Server
	work     sync.WaitGroup // the listener, and runs
	ctx      context.Context
	cancel   context.CancelFunc

	mu      sync.Mutex
	configs []*config // in order of creation
	counter uint64
}

// New starts the service.
func New(cfg Config) (*Server, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	if cfg.Listen == "" {
		cfg.Listen = "127.0.0.1:0" // invariant A4: loopback unless told otherwise
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	l, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, fmt.Errorf("transfer: listen: %w", err)
	}
	s := &Server{cfg: cfg, listener: l}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.grpc = grpc.NewServer(grpc.UnaryInterceptor(s.intercept), grpc.UnknownServiceHandler(refuseUnknown))
	pb.RegisterDataTransferServiceServer(s.grpc, s)
	s.work.Go(func() {
		if err := s.grpc.Serve(l); err != nil && !errors.Is(err, grpc.ErrServerStopped) {
			cfg.Log.Error("data transfer service stopped", "error", err)
		}
	})
	return s, nil
}

// Addr is the address of the service, host:port.
func (s *Server) Addr() string { return s.listener.Addr().String() }

// Close stops the service and gives up the runs. It returns once nothing of them
// is left.
func (s *Server) Close() error {
	s.cancel()
	s.grpc.Stop()
	s.work.Wait()
	return nil
}

// intercept names the method in every refusal of one that is not emulated.
func (s *Server) intercept(ctx context.Context, req any, info *grpc.UnaryServerInfo, handler grpc.UnaryHandler) (any, error) {
	resp, err := handler(ctx, req)
	if status.Code(err) == codes.Unimplemented && strings.HasPrefix(status.Convert(err).Message(), "method ") {
		return nil, unimplemented(info.FullMethod)
	}
	if err != nil {
		s.cfg.Log.Debug("data transfer call refused", "method", info.FullMethod, "error", err)
	}
	return resp, err
}

func refuseUnknown(_ any, stream grpc.ServerStream) error {
	method, _ := grpc.MethodFromServerStream(stream)
	return unimplemented(method)
}

func unimplemented(method string) error {
	return status.Errorf(codes.Unimplemented, "the sandbox's Data Transfer service does not emulate %s", strings.TrimPrefix(method, "/"))
}

func invalid(format string, args ...any) error {
	return status.Errorf(codes.InvalidArgument, format, args...)
}

func unsupported(what string) error {
	return status.Errorf(codes.Unimplemented, "the sandbox's Data Transfer service does not emulate %s", what)
}
