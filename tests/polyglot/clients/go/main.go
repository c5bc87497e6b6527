// Plays every case over grpc-go; prints a line for each.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"os"
	"regexp"
	"strings"
	"time"

	modelway "github.com/modelway/modelway/gen/go/modelway/v1"
	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const schema = `{"type":"object","properties":{"answer":{"type":"string"}},"required":["answer"],"additionalProperties":false}`

var client modelway.GenerationServiceClient

// What the details of a failure say.
type failure struct {
	code     string
	reason   string
	info     map[string]string
	delay    *time.Duration
	fields   []string
	attempts []*modelway.Attempt
}

func read(err error) failure {
	if err == nil {
		log.Fatal("the call should have failed")
	}
	found := status.Convert(err)
	told := failure{code: capitals(found.Code())}
	for _, detail := range found.Details() {
		switch detail := detail.(type) {
		case *errdetails.ErrorInfo:
			told.reason, told.info = detail.Reason, detail.Metadata
		case *errdetails.RetryInfo:
			delay := detail.RetryDelay.AsDuration()
			told.delay = &delay
		case *errdetails.BadRequest:
			for _, violation := range detail.FieldViolations {
				told.fields = append(told.fields, violation.Field)
			}
		case *modelway.CallFailure:
			told.attempts = detail.Attempts
		}
	}
	return told
}

// Go writes DeadlineExceeded where the others write DEADLINE_EXCEEDED.
func capitals(code codes.Code) string {
	name := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(code.String(), "${1}_${2}")
	return strings.ReplaceAll(strings.ToUpper(name), "CANCELED", "CANCELLED")
}

func user(text string) *modelway.Message {
	return &modelway.Message{Role: modelway.Role_ROLE_USER, Text: text}
}

func request(scenario string) *modelway.GenerateRequest {
	return &modelway.GenerateRequest{Scenario: scenario, Messages: []*modelway.Message{user("Hello")}}
}

func patience() context.Context {
	ctx, _ := context.WithTimeout(context.Background(), 30*time.Second)
	return ctx
}

func generate(request *modelway.GenerateRequest) *modelway.GenerateResponse {
	answer, err := client.Generate(patience(), request)
	if err != nil {
		log.Fatal(err)
	}
	return answer
}

// Reads a stream to its end.
func events(ctx context.Context, request *modelway.GenerateRequest) ([]*modelway.StreamGenerateResponse, error) {
	stream, err := client.StreamGenerate(ctx, request)
	var events []*modelway.StreamGenerateResponse
	for err == nil {
		var event *modelway.StreamGenerateResponse
		if event, err = stream.Recv(); err == nil {
			events = append(events, event)
		}
	}
	if err == io.EOF {
		err = nil
	}
	return events, err
}

func text(answer *modelway.GenerateResponse) string {
	var text strings.Builder
	for _, part := range answer.GetOutput().GetParts() {
		text.WriteString(part.GetText())
	}
	return text.String()
}

func words(answer *modelway.GenerateResponse) int {
	return len(strings.Fields(text(answer)))
}

func finish(answer *modelway.GenerateResponse) string {
	return strings.TrimPrefix(answer.FinishReason.String(), "FINISH_REASON_")
}

func told(attempts []*modelway.Attempt) string {
	var told []string
	for _, attempt := range attempts {
		kind := strings.TrimPrefix(attempt.Kind.String(), "ATTEMPT_KIND_")
		told = append(told, kind+" "+strings.TrimPrefix(attempt.Outcome.String(), "ATTEMPT_OUTCOME_"))
	}
	return strings.Join(told, ", ")
}

func answers() {
	answer := generate(request("chat"))
	fmt.Printf("unary: %s by %s/%s, %d words, %d + %d tokens, %d nanos of %s, %s\n", finish(answer),
		answer.Provider, answer.Model, words(answer), answer.Usage.InputTokens, answer.Usage.OutputTokens,
		answer.Cost.AmountNanos, answer.Cost.CurrencyCode, told(answer.Attempts))

	events, err := events(patience(), request("chat"))
	if err != nil {
		log.Fatal(err)
	}
	var kinds []string
	gapless, whole := true, ""
	for index, event := range events {
		gapless = gapless && event.Sequence == int64(index+1)
		whole += event.GetTextDelta().GetText()
		message := event.ProtoReflect()
		oneof := message.Descriptor().Oneofs().ByName("event")
		kind := string(message.WhichOneof(oneof).Name())
		if len(kinds) == 0 || kinds[len(kinds)-1] != kind {
			kinds = append(kinds, kind)
		}
	}
	fmt.Printf("stream: %s, %d words, numbered without gaps: %t\n",
		strings.Join(kinds, " "), len(strings.Fields(whole)), gapless)

	answer = generate(request("failover"))
	fmt.Printf("failover: %s, %s\n", answer.Provider, told(answer.Attempts))

	tools()

	asked := request("chat")
	asked.ResponseFormat = &modelway.ResponseFormat{Format: &modelway.ResponseFormat_JsonSchema{
		JsonSchema: &modelway.JsonSchemaFormat{Schema: schemaText(), Strict: true},
	}}
	answer = generate(asked)
	fmt.Printf("schema: %s, keys: %s\n", finish(answer), strings.Join(keys(text(answer)), ", "))

	asked = request("chat")
	picture := &modelway.Media{Source: &modelway.Media_Data{Data: make([]byte, 1024*1024)}, MediaType: "image/png"}
	asked.Messages = []*modelway.Message{{Role: modelway.Role_ROLE_USER, Parts: []*modelway.ContentPart{
		{Part: &modelway.ContentPart_Text{Text: "What is it?"}},
		{Part: &modelway.ContentPart_Image{Image: picture}},
	}}}
	answer = generate(asked)
	fmt.Printf("image: %s, %d words\n", finish(answer), words(answer))
}

func schemaText() *modelway.JsonSchema {
	return &modelway.JsonSchema{Schema: &modelway.JsonSchema_Text{Text: schema}}
}

func keys(object string) []string {
	var fields map[string]interface{}
	if err := json.Unmarshal([]byte(object), &fields); err != nil {
		log.Fatal(err)
	}
	var keys []string
	for key := range fields {
		keys = append(keys, key)
	}
	return keys
}

func tools() {
	function := &modelway.FunctionTool{Name: "search", Parameters: schemaText()}
	tool := &modelway.Tool{Tool: &modelway.Tool_Function{Function: function}}
	first := request("chat")
	first.Tools = []*modelway.Tool{tool}
	first.ToolChoice = &modelway.ToolChoice{
		Choice: &modelway.ToolChoice_Mode{Mode: modelway.ToolChoiceMode_TOOL_CHOICE_MODE_REQUIRED},
	}
	asked := generate(first)
	var call *modelway.ToolCall
	for _, part := range asked.Output.Parts {
		if part.GetToolCall() != nil {
			call = part.GetToolCall()
		}
	}
	object := json.Unmarshal([]byte(call.ArgumentsJson), &map[string]interface{}{}) == nil
	nothing := &modelway.ContentPart{Part: &modelway.ContentPart_Text{Text: "nothing found"}}
	result := &modelway.ToolResult{ToolCallId: call.Id, Content: []*modelway.ContentPart{nothing}}
	second := request("chat")
	second.Tools = first.Tools
	second.Messages = append(second.Messages, asked.Output, &modelway.Message{
		Role:  modelway.Role_ROLE_TOOL,
		Parts: []*modelway.ContentPart{{Part: &modelway.ContentPart_ToolResult{ToolResult: result}}},
	})
	answer := generate(second)
	fmt.Printf("tools: %s %s, arguments are an object: %t, then %s, %d words\n",
		finish(asked), call.Name, object, finish(answer), words(answer))
}

func ends() {
	ctx, cancel := context.WithCancel(patience())
	stream, err := client.StreamGenerate(ctx, request("endless"))
	for err == nil {
		var event *modelway.StreamGenerateResponse
		if event, err = stream.Recv(); event.GetTextDelta() != nil {
			cancel()
		}
	}
	fmt.Printf("cancelled: %s\n", read(err).code)

	ctx, cancel = context.WithTimeout(context.Background(), 300*time.Millisecond)
	defer cancel()
	_, err = client.Generate(ctx, request("silent"))
	fmt.Printf("deadline: %s\n", read(err).code)
	_, err = events(context.Background(), request("short-of-time"))
	found := read(err)
	fmt.Printf("time of the scenario: %s %s, %s\n", found.code, found.reason, told(found.attempts))
}

func failures() {
	var trailer metadata.MD
	_, err := client.Generate(patience(), request("unavailable"), grpc.Trailer(&trailer))
	found := read(err)
	same := found.info["call_id"] != "" && first(trailer, "x-modelway-call-id") == found.info["call_id"]
	fmt.Printf("failing: %s %s, provider's status %s, %s, pushback %s, call id in both places: %t\n",
		found.code, found.reason, found.info["provider_status"], told(found.attempts),
		first(trailer, "grpc-retry-pushback-ms"), same)

	_, err = client.Generate(patience(), request("limited"))
	found = read(err)
	fmt.Printf("limited: %s %s, after %g s\n", found.code, found.reason, found.delay.Seconds())

	wrong := request("chat")
	wrong.Messages = []*modelway.Message{{Text: "no role"}}
	hot := 3.0
	wrong.Sampling = &modelway.SamplingParams{Temperature: &hot}
	_, err = client.Generate(patience(), wrong)
	found = read(err)
	fmt.Printf("invalid: %s %s, %s\n", found.code, found.reason, strings.Join(found.fields, ", "))

	cut, err := events(patience(), request("cut"))
	pieces := 0
	for _, event := range cut {
		if event.GetTextDelta() != nil {
			pieces++
		}
	}
	found = read(err)
	fmt.Printf("cut: %s %s, %d pieces\n", found.code, found.reason, pieces)
}

// The value of a trailer, or nothing.
func first(trailer metadata.MD, name string) string {
	return strings.Join(trailer.Get(name), ",")
}

func health(client grpc_health_v1.HealthClient, service string) string {
	answer, err := client.Check(patience(), &grpc_health_v1.HealthCheckRequest{Service: service})
	if err != nil {
		return capitals(status.Code(err))
	}
	return answer.Status.String()
}

func main() {
	connection, err := grpc.Dial(os.Args[1], grpc.WithInsecure())
	if err != nil {
		log.Fatal(err)
	}
	client = modelway.NewGenerationServiceClient(connection)
	answers()
	ends()
	failures()
	checks := grpc_health_v1.NewHealthClient(connection)
	fmt.Printf("health: %s, scenario/chat %s, nonsense %s\n",
		health(checks, ""), health(checks, "scenario/chat"), health(checks, "nonsense"))
}
