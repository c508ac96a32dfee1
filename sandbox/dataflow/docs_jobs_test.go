package dataflow_test

import (
	"context"
	"fmt"
	"os"

	dataflow "cloud.google.com/go/dataflow/apiv1beta3"
	pb "cloud.google.com/go/dataflow/apiv1beta3/dataflowpb"
	"google.golang.org/api/option"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
)

// printJobs prints the names and states of the jobs that the sandbox runs.
func printJobs(ctx context.Context) error {
	client, err := dataflow.NewJobsV1Beta3Client(ctx,
		option.WithEndpoint(os.Getenv("DATAFLOW_EMULATOR_HOST")),
		option.WithoutAuthentication(),
		option.WithGRPCDialOption(grpc.WithTransportCredentials(insecure.NewCredentials())))
	if err != nil {
		return err
	}
	defer client.Close()
	for job, err := range client.ListJobs(ctx, &pb.ListJobsRequest{ProjectId: "kappa-demo", Location: "us-central1"}).All() {
		if err != nil {
			return err
		}
		fmt.Println(job.GetName(), job.GetCurrentState())
	}
	return nil
}
