// The code of docs/clients/go.md, put together and run.
package main

import (
	"context"
	"fmt"
	"io"
	"io/ioutil"
	"log"
	"os"
	"strings"
	"time"

	modelway "github.com/modelway/modelway/gen/go/modelway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// channel
func dial(address string) (*grpc.ClientConn, error) {
	// proto/service_config.json of the repository, which a program embeds.
	config, err := ioutil.ReadFile("service_config.json")
	if err != nil {
		return nil, err
	}
	return grpc.Dial(address,
		grpc.WithInsecure(),
		grpc.WithDefaultServiceConfig(string(config)),
		// Answers with pictures are larger than the 4 MiB that clients read by default.
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(64<<20)))
}

// details
// Failure holds the typed details of a call that failed.
type Failure struct {
	Reason     string // A value of ErrorReason without its prefix; empty if the failure is not Modelway's.
	CallID     string
	RetryDelay *time.Duration // nil where waiting is not known to help.
	Fields     map[string]string
	Attempts   []*modelway.Attempt
	Limits     []*modelway.LimitDenial
}

// FailureOf reads the details of an error that a stub returned.
func FailureOf(err error) Failure {
	failure := Failure{Fields: map[string]string{}}
	for _, detail := range status.Convert(err).Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			failure.Reason, failure.CallID = detail.Reason, detail.Metadata["call_id"]
		case *errdetails.RetryInfo:
			delay := detail.RetryDelay.AsDuration()
			failure.RetryDelay = &delay
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				failure.Fields[violation.Field] = violation.Description
			}
		case *modelway.CallFailure:
			failure.Attempts, failure.Limits = detail.Attempts, detail.Limits
		}
	}
	return failure
}

// retry
// generatePatiently asks again when Modelway says that waiting helps, within the deadline of the context.
func generatePatiently(ctx context.Context, client modelway.GenerationServiceClient,
	request *modelway.GenerateRequest) (*modelway.GenerateResponse, error) {
	for {
		answer, err := client.Generate(ctx, request)
		if err == nil {
			return answer, nil
		}
		delay := FailureOf(err).RetryDelay
		if end, bounded := ctx.Deadline(); delay == nil || bounded && time.Now().Add(*delay).After(end) {
			return nil, err
		}
		select {
		case <-time.After(*delay):
			// The failure is remembered under the old key.
			request.IdempotencyKey = ""
		case <-ctx.Done():
			return nil, err
		}
	}
}

// stream
// read returns the text of a stream that ended well, and its answer.
func read(stream modelway.GenerationService_StreamGenerateClient) (string, *modelway.GenerateResponse, error) {
	var text strings.Builder
	var answer *modelway.GenerateResponse
	for {
		message, err := stream.Recv()
		if err == io.EOF {
			return text.String(), answer, nil
		}
		if err != nil {
			return text.String(), nil, err
		}
		switch event := message.Event.(type) {
		case *modelway.StreamGenerateResponse_TextDelta:
			text.WriteString(event.TextDelta.Text)
		case *modelway.StreamGenerateResponse_OutputReset:
			text.Reset()
		case *modelway.StreamGenerateResponse_Completed:
			answer = event.Completed.Response
			// Everything else is skipped, also nil: an event that is newer than these stubs.
		}
	}
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}

func words(answer *modelway.GenerateResponse) int {
	count := 0
	for _, part := range answer.Output.Parts {
		count += len(strings.Fields(part.GetText()))
	}
	return count
}

func main() {
	connection, err := dial(os.Args[1])
	must(err)
	client := modelway.NewGenerationServiceClient(connection)

	// deadline
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	question := &modelway.Message{Role: modelway.Role_ROLE_USER, Text: "Why is the sky blue?"}
	request := &modelway.GenerateRequest{Scenario: "general", Messages: []*modelway.Message{question}}
	answer, err := client.Generate(ctx, request)

	must(err)
	fmt.Printf("answer: %d words\n", words(answer))

	stream, err := client.StreamGenerate(ctx, request)
	must(err)
	text, answer, err := read(stream)
	must(err)
	fmt.Printf("stream: %d words, %s\n", len(strings.Fields(text)), answer.Provider)

	// cancel
	cancellable, stop := context.WithCancel(ctx)
	stream, err = client.StreamGenerate(cancellable, request)
	for err == nil {
		var message *modelway.StreamGenerateResponse
		message, err = stream.Recv()
		if message.GetTextDelta() != nil {
			stop()
		}
	}
	if status.Code(err) == codes.Canceled {
		fmt.Println("cancelled: CANCELLED")
	}

	failing := &modelway.GenerateRequest{Model: "sim-openai/failing", Messages: request.Messages}
	_, err = client.Generate(ctx, failing)
	failure := FailureOf(err)
	name := strings.ToUpper(status.Code(err).String())
	fmt.Println("failed:", name, failure.Reason, "after", len(failure.Attempts), "attempts")
	_, err = generatePatiently(ctx, client, request)
	must(err)

	// key
	request.IdempotencyKey = "order-4711-summary"
	first, err := client.Generate(ctx, request)
	must(err)
	again, err := client.Generate(ctx, request)
	must(err)

	fmt.Printf("replayed: %t, the same call: %t\n", again.Replayed, first.CallId == again.CallId)

	// turn
	next := &modelway.GenerateRequest{Scenario: "general", Messages: []*modelway.Message{
		question, first.Output, {Role: modelway.Role_ROLE_USER, Text: "And at sunset?"},
	}}
	answer, err = client.Generate(ctx, next)

	must(err)
	fmt.Printf("next turn: %d input tokens\n", answer.Usage.InputTokens)

	// who
	bearer := metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+os.Getenv("MODELWAY_API_KEY"))
	me, err := modelway.NewCallerServiceClient(connection).WhoAmI(bearer, &modelway.WhoAmIRequest{})
	must(err)
	answer, err = client.Generate(bearer, next)

	must(err)
	fmt.Println("caller:", me.Caller)

	// shapes
	image := &modelway.Media{Source: &modelway.Media_Data{Data: []byte("\x89PNG")}, MediaType: "image/png"}
	parts := []*modelway.ContentPart{
		{Part: &modelway.ContentPart_Text{Text: "What is it?"}},
		{Part: &modelway.ContentPart_Image{Image: image}},
	}
	temperature := 0.0
	picture := &modelway.GenerateRequest{
		Scenario: "general",
		Messages: []*modelway.Message{{Role: modelway.Role_ROLE_USER, Parts: parts}},
		Sampling: &modelway.SamplingParams{Temperature: &temperature},
	}
	temperatureIsSet, topPIsSet := picture.Sampling.Temperature != nil, picture.Sampling.TopP != nil
	answer, err = client.Generate(ctx, picture)
	must(err)
	usd := float64(answer.Cost.AmountNanos) / 1e9
	why, known := modelway.FinishReason_name[int32(answer.FinishReason)]
	if !known {
		why = "FINISH_REASON_UNSPECIFIED"
	}

	fmt.Printf("shapes: %t %t %s %.9f\n", temperatureIsSet, topPIsSet, why, usd)
}
