// Asks Modelway for an answer and prints it as it comes. Start the server with `cargo run`; docs/clients/go.md says
// how to generate the stubs. Then: go run ./examples/go general "Why is the sky blue?"
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"time"

	modelway "github.com/modelway/modelway/gen/go/modelway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

func main() {
	address, ok := os.LookupEnv("MODELWAY_ADDRESS")
	if !ok {
		address = "127.0.0.1:50051"
	}
	connection, err := grpc.Dial(address, grpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	messages := []*modelway.Message{{Role: modelway.Role_ROLE_USER, Text: os.Args[2]}}
	request := &modelway.GenerateRequest{Scenario: os.Args[1], Messages: messages}
	stream, err := modelway.NewGenerationServiceClient(connection).StreamGenerate(ctx, request)
	for err == nil {
		var event *modelway.StreamGenerateResponse
		event, err = stream.Recv()
		fmt.Print(event.GetTextDelta().GetText())
		if answer := event.GetCompleted().GetResponse(); answer != nil {
			fmt.Printf("\n\n%s/%s, attempts: %d\n", answer.Provider, answer.Model, len(answer.Attempts))
		}
	}
	if failure := status.Convert(err); err != io.EOF {
		for _, detail := range failure.Details() {
			if info, ok := detail.(*errdetails.ErrorInfo); ok {
				log.Printf("reason: %s, call: %s", info.Reason, info.Metadata["call_id"])
			}
		}
		log.Fatalf("%s: %s", failure.Code(), failure.Message())
	}
}
