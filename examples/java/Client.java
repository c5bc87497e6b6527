import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.modelway.v1.*;
import java.util.Objects;
import java.util.concurrent.TimeUnit;

/**
 * Asks Modelway for an answer and prints it as it comes. Start the server with `cargo run`; docs/clients/java.md says how to
 * generate the stubs and what the class path must hold. Then: java Client general "Why is the sky blue?"
 */
public class Client {
  public static void main(String[] arguments) throws Exception {
    String address = Objects.requireNonNullElse(System.getenv("MODELWAY_ADDRESS"), "127.0.0.1:50051");
    ManagedChannel channel = ManagedChannelBuilder.forTarget(address).usePlaintext().build();
    var stub = GenerationServiceGrpc.newBlockingStub(channel).withDeadlineAfter(60, TimeUnit.SECONDS);
    var message = Message.newBuilder().setRole(Role.ROLE_USER).setText(arguments[1]);
    var request = GenerateRequest.newBuilder().setScenario(arguments[0]).addMessages(message).build();
    try {
      stub.streamGenerate(request).forEachRemaining(event -> {
        if (event.hasTextDelta()) {
          System.out.print(event.getTextDelta().getText());
        } else if (event.hasCompleted()) {
          var answer = event.getCompleted().getResponse();
          System.out.printf("%n%n%s/%s, attempts: %d%n", answer.getProvider(), answer.getModel(), answer.getAttemptsCount());
        }
      });
    } catch (StatusRuntimeException error) {
      for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          ErrorInfo info = detail.unpack(ErrorInfo.class);
          System.err.printf("reason: %s, call: %s%n", info.getReason(), info.getMetadataOrThrow("call_id"));
        }
      }
      System.err.printf("%s: %s%n", error.getStatus().getCode(), error.getStatus().getDescription());
      System.exit(1);
    } finally {
      channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
    }
  }
}
