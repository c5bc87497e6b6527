// The code for TLS of docs/clients/go.md, put together and run.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/ioutil"
	"log"
	"os"
	"path/filepath"
	"time"

	modelway "github.com/modelway/modelway/gen/go/modelway/v1"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
)

// who
// apiKey shows an API key with each call of a connection, which has to have TLS.
type apiKey string

func (key apiKey) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{"authorization": "Bearer " + string(key)}, nil
}

func (apiKey) RequireTransportSecurity() bool { return true }

func main() {
	address, folder := os.Args[1], os.Args[2]
	pem, err := ioutil.ReadFile(filepath.Join(folder, "ca.pem"))
	must(err)
	authorities := x509.NewCertPool()
	authorities.AppendCertsFromPEM(pem)
	certificate, err := tls.LoadX509KeyPair(filepath.Join(folder, "client.pem"), filepath.Join(folder, "client.key"))
	must(err)

	// tls
	security := &tls.Config{RootCAs: authorities, Certificates: []tls.Certificate{certificate}}
	connection, err := grpc.Dial(address, grpc.WithTransportCredentials(credentials.NewTLS(security)))

	must(err)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	messages := []*modelway.Message{{Role: modelway.Role_ROLE_USER, Text: "Hello"}}
	request := &modelway.GenerateRequest{Scenario: "general", Messages: messages}
	answer, err := modelway.NewGenerationServiceClient(connection).Generate(ctx, request)
	must(err)
	fmt.Println("finished:", int(answer.FinishReason))

	// who
	identified, err := grpc.Dial(address,
		grpc.WithTransportCredentials(credentials.NewTLS(security)),
		grpc.WithPerRPCCredentials(apiKey(os.Getenv("MODELWAY_API_KEY"))))

	must(err)
	me, err := modelway.NewCallerServiceClient(identified).WhoAmI(ctx, &modelway.WhoAmIRequest{})
	must(err)
	fmt.Println("caller:", me.Caller)
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
