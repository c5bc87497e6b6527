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
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
