import com.google.rpc.ErrorInfo;
import io.grpc.ManagedChannelBuilder;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.modelway.v1.*;
import io.modelway.v1.GenerationServiceGrpc.GenerationServiceBlockingStub;
import java.util.concurrent.TimeUnit;

/** Does with grpc-java what a client should not do, or cannot help; prints a line for each. */
public class Stranger {
  private static ManagedChannelBuilder<?> channel(String address) {
    return ManagedChannelBuilder.forTarget(address).usePlaintext();
  }

  private static GenerationServiceBlockingStub connect(ManagedChannelBuilder<?> channel) {
    return GenerationServiceGrpc.newBlockingStub(channel.build());
  }

  private static GenerateRequest request(String scenario, String text) {
    var message = Message.newBuilder().setRole(Role.ROLE_USER).setText(text);
    return GenerateRequest.newBuilder().setScenario(scenario).addMessages(message).build();
  }

  private static String failed(StatusRuntimeException error) throws Exception {
    String reason = "";
    for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
      if (detail.is(ErrorInfo.class)) {
        reason = " " + detail.unpack(ErrorInfo.class).getReason();
      }
    }
    return error.getStatus().getCode() + reason;
  }

  /** The number of words of an answer, or the code and reason of a failure. */
  private static String outcome(GenerationServiceBlockingStub stub, GenerateRequest request) throws Exception {
    try {
      var answer = stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(request);
      return answer.getOutput().getPartsList().stream()
          .mapToInt(part -> part.getText().strip().split("\\s+").length).sum() + " words";
    } catch (StatusRuntimeException error) {
      return failed(error);
    }
  }

  private static String words(GenerationServiceBlockingStub stub, String scenario, Runnable begun) throws Exception {
    int words = 0;
    try {
      var events = stub.withDeadlineAfter(60, TimeUnit.SECONDS).streamGenerate(request(scenario, "Hello"));
      while (events.hasNext()) {
        if (events.next().hasTextDelta() && words++ == 0) {
          begun.run();
        }
      }
      return words + " words";
    } catch (StatusRuntimeException error) {
      return failed(error);
    }
  }

  public static void main(String[] arguments) throws Exception {
    String address = arguments[0];
    GenerateRequest hello = request("chat", "Hello");
    System.out.println("nobody there: " + outcome(connect(channel("127.0.0.1:1")), hello));
    var stub = connect(channel(address));
    System.out.println("too large: " + outcome(stub, request("chat", "x".repeat(40 << 20))));
    System.out.println("and the next: " + outcome(stub, hello));
    var gzip = stub.withCompression("gzip");
    System.out.println("compressed: " + outcome(gzip, request("chat", "word ".repeat(10_000))));
    var small = connect(channel(address).maxInboundMessageSize(1024));
    System.out.println("beyond the client's limit: " + outcome(small, request("long", "Hello")));
    // The library sends no more than one in ten seconds, and takes a smaller number for that.
    var pinging = channel(address).keepAliveTime(1, TimeUnit.MILLISECONDS).keepAliveWithoutCalls(true);
    System.out.println("many pings: " + words(connect(pinging), "slow", () -> {}));
    String killed = words(stub, "endless", () -> System.out.println("restart: streaming"));
    System.out.println("killed: " + killed);
    System.out.println("restarted: " + outcome(stub.withWaitForReady(), hello));
    System.exit(0);
  }
}
