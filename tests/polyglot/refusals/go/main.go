// Asks a scenario many times with grpc-go and a policy that retries whatever it may; prints a line for each call.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	modelway "github.com/modelway/modelway/gen/go/modelway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const config = `{"methodConfig": [{
	"name": [{"service": "modelway.v1.GenerationService"}],
	"retryPolicy": {
		"maxAttempts": 4,
		"initialBackoff": "0.02s",
		"maxBackoff": "0.1s",
		"backoffMultiplier": 2,
		"retryableStatusCodes": ["RESOURCE_EXHAUSTED", "UNAVAILABLE", "UNAUTHENTICATED", "PERMISSION_DENIED", "FAILED_PRECONDITION"]
	}
}]}`

// OK, or the code and reason of a failure.
func outcome(err error) string {
	if err == nil || err == io.EOF {
		return "OK"
	}
	name := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(status.Code(err).String(), "${1}_${2}")
	reason := ""
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = " " + info.Reason
		}
	}
	return strings.ToUpper(name) + reason
}

func main() {
	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure(), grpc.WithDefaultServiceConfig(config))
	if err != nil {
		log.Fatal(err)
	}
	times, err := strconv.Atoi(os.Args[3])
	if err != nil {
		log.Fatal(err)
	}
	client := modelway.NewGenerationServiceClient(connection)
	asked := &modelway.GenerateRequest{
		Scenario: "chat",
		Messages: []*modelway.Message{{Role: modelway.Role_ROLE_USER, Text: "Hello"}},
	}
	for number := 0; number < times; number++ {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		ctx = metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Args[2])
		var err error
		if number%2 == 0 {
			_, err = client.Generate(ctx, asked)
		} else {
			var stream modelway.GenerationService_StreamGenerateClient
			stream, err = client.StreamGenerate(ctx, asked)
			for err == nil {
				_, err = stream.Recv()
			}
		}
		fmt.Println(outcome(err))
		cancel()
	}
}
