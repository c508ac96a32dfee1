package dataflow

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/kappa-migrate/kappa/internal/worker"
)

// Values of a watermark that are not times.
const (
	watermarkUnknown = -1
	watermarkMaximum = -2
)

const (
	dataWatermark   = "windmill-data-watermark"
	systemWatermark = "windmill-system-watermark"
	serviceOrigin   = "dataflow/v1b3"
	userOrigin      = "user"
)

// The names of stages are the service's own and say nothing of the source;
// the description joins them. One stage reads each source, one more does the
// rest of the pipeline.
func readStage(i int) string           { return fmt.Sprintf("F%d", 39+i) }
func restStage(sources int) string     { return readStage(sources) }
func readTransform(s string) string    { return "Read " + shortName(s) + "/PubsubUnboundedSource" }
func shortName(resource string) string { return resource[strings.LastIndexByte(resource, '/')+1:] }

// micros is a watermark as the service writes it.
func micros(t time.Time, maximum bool) float64 {
	switch {
	case maximum:
		return watermarkMaximum
	case t.IsZero():
		return watermarkUnknown
	}
	return float64(t.UnixMicro())
}

// least is the smallest watermark of the sources that have not reached the
// maximum; zero if there are none, or if one of them is unknown.
func least(sources []worker.Source) time.Time {
	var t time.Time
	for _, s := range sources {
		switch {
		case s.AtMaximum:
		case s.Watermark.IsZero():
			return time.Time{}
		case t.IsZero() || s.Watermark.Before(t):
			t = s.Watermark
		}
	}
	return t
}

type metricsService struct {
	pb.UnimplementedMetricsV1Beta3Server
	*Server
}

// GetJobMetrics returns the newest metrics of a job.
func (s metricsService) GetJobMetrics(_ context.Context, req *pb.GetJobMetricsRequest) (*pb.JobMetrics, error) {
	j, err := s.find(req.GetProjectId(), req.GetLocation(), req.GetJobId())
	if err != nil {
		return nil, err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.reported.IsZero() {
		return &pb.JobMetrics{MetricTime: timestamppb.Now()}, nil
	}
	at := timestamppb.New(j.reported)
	resp := &pb.JobMetrics{MetricTime: at}
	if t := req.GetStartTime(); t != nil && j.reported.Before(t.AsTime()) {
		return resp, nil // nothing has changed since
	}
	add := func(origin, name string, value float64, kv map[string]string) {
		// Every value appears twice: as committed, and as tentative.
		for _, tentative := range []bool{false, true} {
			ctx := maps.Clone(kv)
			if tentative {
				if ctx == nil {
					ctx = map[string]string{}
				}
				ctx["tentative"] = "true"
			}
			resp.Metrics = append(resp.Metrics, &pb.MetricUpdate{
				Name:   &pb.MetricStructuredName{Origin: origin, Name: name, Context: ctx},
				Scalar: structpb.NewNumberValue(value), UpdateTime: at,
			})
		}
	}
	stage := func(name string, watermark time.Time, maximum bool) {
		add(serviceOrigin, name+"-"+dataWatermark, micros(watermark, maximum), nil)
		// Work that is in the worker is its only system lag.
		add(serviceOrigin, name+"-"+systemWatermark, micros(j.reported, maximum), nil)
	}
	for i, src := range j.report.Sources {
		stage(readStage(i), src.Watermark, src.AtMaximum)
		add(userOrigin, "messages_held", float64(src.Held), map[string]string{"step": readTransform(src.Subscription)})
	}
	if len(j.report.Sources) > 0 {
		// What follows the sources is at the maximum only when the windows
		// have fired and the sinks are flushed.
		stage(restStage(len(j.report.Sources)), j.rest, j.report.Drained)
	}
	for _, name := range slices.Sorted(maps.Keys(j.report.Counters)) {
		add(userOrigin, name, float64(j.report.Counters[name]), map[string]string{"namespace": "kappa"})
	}
	return resp, nil
}

// metadata names the job's sources. The caller holds the lock.
func (j *job) metadata() *pb.JobMetadata {
	m := &pb.JobMetadata{SdkVersion: &pb.SdkVersion{
		Version:            j.sdk.GetVersion(),
		VersionDisplayName: "Apache Beam SDK for " + j.sdk.GetLanguage().String(),
	}}
	for _, s := range j.report.Sources {
		m.PubsubDetails = append(m.PubsubDetails, &pb.PubSubIODetails{Subscription: s.Subscription})
	}
	return m
}

// description is the graph of the job, as far as it is known here: a read
// transform per source, each in a stage of its own, and the rest. A client
// gets from a source to its metric by read transform → component transform →
// stage → metric. The caller holds the lock.
func (j *job) description() *pb.PipelineDescription {
	d := &pb.PipelineDescription{}
	if len(j.report.Sources) == 0 {
		return d
	}
	all := &pb.ExecutionStageSummary{
		Name: restStage(len(j.report.Sources)), Id: fmt.Sprintf("S%02d", len(j.report.Sources)+1), Kind: pb.KindType_GROUP_BY_KEY_KIND,
	}
	for i, s := range j.report.Sources {
		name, collection := readTransform(s.Subscription), "Read "+shortName(s.Subscription)+".out"
		d.OriginalPipelineTransform = append(d.OriginalPipelineTransform, &pb.TransformSummary{
			Kind: pb.KindType_READ_KIND, Id: fmt.Sprintf("s%d", i+1), Name: name,
			OutputCollectionName: []string{collection},
			DisplayData: []*pb.DisplayData{{
				Key: "subscription", Namespace: "org.apache.beam.sdk.io.gcp.pubsub.PubsubUnboundedSource", Label: "Pubsub Subscription",
				Value: &pb.DisplayData_StrValue{StrValue: s.Subscription},
			}},
		})
		stage := &pb.ExecutionStageSummary{
			Name: readStage(i), Id: fmt.Sprintf("S%02d", i+1), Kind: pb.KindType_READ_KIND,
			ComponentTransform: []*pb.ExecutionStageSummary_ComponentTransform{
				{UserName: name, Name: fmt.Sprintf("s%d", i+1), OriginalTransform: name},
			},
			OutputSource: []*pb.ExecutionStageSummary_StageSource{
				{UserName: collection, Name: fmt.Sprintf("s%d-shuffle", i+1), OriginalTransformOrCollection: name},
			},
		}
		all.InputSource = append(all.InputSource, stage.OutputSource[0])
		d.ExecutionPipelineStage = append(d.ExecutionPipelineStage, stage)
	}
	const aggregate = "Aggregate and write"
	id := fmt.Sprintf("s%d", len(j.report.Sources)+1)
	d.OriginalPipelineTransform = append(d.OriginalPipelineTransform, &pb.TransformSummary{Kind: pb.KindType_GROUP_BY_KEY_KIND, Id: id, Name: aggregate})
	all.ComponentTransform = []*pb.ExecutionStageSummary_ComponentTransform{{UserName: aggregate, Name: id, OriginalTransform: aggregate}}
	d.ExecutionPipelineStage = append(d.ExecutionPipelineStage, all)
	return d
}
