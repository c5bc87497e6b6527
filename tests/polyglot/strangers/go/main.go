// Does with grpc-go what a client should not do, or cannot help; prints a line for each.
package main

import (
	"context"
	"crypto/tls"
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
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/keepalive"
	"google.golang.org/grpc/status"
)

func request(scenario, text string) *modelway.GenerateRequest {
	message := &modelway.Message{Role: modelway.Role_ROLE_USER, Text: text}
	return &modelway.GenerateRequest{Scenario: scenario, Messages: []*modelway.Message{message}}
}

func connect(address string, security grpc.DialOption, options ...grpc.DialOption) modelway.GenerationServiceClient {
	connection, err := grpc.Dial(address, append(options, security)...)
	if err != nil {
		log.Fatal(err)
	}
	return modelway.NewGenerationServiceClient(connection)
}

func patience() context.Context {
	ctx, _ := context.WithTimeout(context.Background(), time.Minute)
	return ctx
}

func failed(err error) string {
	name := regexp.MustCompile("([a-z])([A-Z])").ReplaceAllString(status.Code(err).String(), "${1}_${2}")
	reason := ""
	for _, detail := range status.Convert(err).Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			reason = " " + info.Reason
		}
	}
	return strings.ToUpper(name) + reason
}

// The number of words of an answer, or the code and reason of a failure.
func outcome(client modelway.GenerationServiceClient, asked *modelway.GenerateRequest, options ...grpc.CallOption) string {
	answer, err := client.Generate(patience(), asked, options...)
	if err != nil {
		return failed(err)
	}
	count := 0
	for _, part := range answer.Output.Parts {
		count += len(strings.Fields(part.GetText()))
	}
	return fmt.Sprint(count, " words")
}

func words(client modelway.GenerationServiceClient, scenario string, begun func()) string {
	stream, err := client.StreamGenerate(patience(), request(scenario, "Hello"))
	count := 0
	for err == nil {
		var event *modelway.StreamGenerateResponse
		if event, err = stream.Recv(); event.GetTextDelta() != nil {
			if count++; count == 1 {
				begun()
			}
		}
	}
	if err != io.EOF {
		return failed(err)
	}
	return fmt.Sprint(count, " words")
}

func main() {
	address := os.Args[1]
	plain := grpc.WithInsecure()
	hello := request("chat", "Hello")
	fmt.Println("nobody there:", outcome(connect("127.0.0.1:1", plain), hello))
	encrypted := grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{}))
	fmt.Println("TLS where there is none:", outcome(connect(address, encrypted), hello))

	client := connect(address, plain)
	fmt.Println("too large:", outcome(client, request("chat", strings.Repeat("x", 40<<20))))
	fmt.Println("and the next:", outcome(client, hello))
	long := request("chat", strings.Repeat("word ", 10_000))
	fmt.Println("compressed:", outcome(client, long, grpc.UseCompressor(gzip.Name)))
	fmt.Println("beyond the client's limit:", outcome(client, request("long", "Hello"), grpc.MaxCallRecvMsgSize(1024)))
	// The library sends no more than one in ten seconds, and takes a smaller number for that.
	pings := grpc.WithKeepaliveParams(keepalive.ClientParameters{Time: time.Millisecond, PermitWithoutStream: true})
	fmt.Println("many pings:", words(connect(address, plain, pings), "slow", func() {}))
	fmt.Println("killed:", words(client, "endless", func() { fmt.Println("restart: streaming") }))
	fmt.Println("restarted:", outcome(client, hello, grpc.WaitForReady(true)))
}
