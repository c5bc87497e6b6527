import com.google.protobuf.ByteString;
import com.google.protobuf.InvalidProtocolBufferException;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.Context;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.protobuf.StatusProto;
import io.grpc.stub.MetadataUtils;
import io.modelway.v1.*;
import java.time.Duration;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.TimeUnit;

/** The code of docs/clients/java.md, put together and run. */
public class Guide {
  // channel
  static ManagedChannel channel(String address) {
    // As in proto/service_config.json of the repository; numbers are doubles.
    Map<String, Object> retries = Map.of(
        "maxAttempts", 2.0, "initialBackoff", "0.2s", "maxBackoff", "2s", "backoffMultiplier", 2.0,
        "retryableStatusCodes", List.of("UNAVAILABLE"));
    Map<String, Object> method = Map.of(
        "name", List.of(Map.of("service", "modelway.v1.GenerationService")), "retryPolicy", retries);
    return ManagedChannelBuilder.forTarget(address)
        .usePlaintext()
        .defaultLoadBalancingPolicy("round_robin")
        .defaultServiceConfig(Map.of("methodConfig", List.of(method)))
        .enableRetry()
        // Answers with pictures are larger than the 4 MiB that clients read by default.
        .maxInboundMessageSize(64 << 20)
        .build();
  }

  // details
  /** The typed details of a call that failed. */
  static final class Failure {
    /** A value of ErrorReason without its prefix; empty if the failure is not Modelway's. */
    String reason = "";
    String callId = "";
    /** Null where waiting is not known to help. */
    Duration retryDelay;
    final Map<String, String> fields = new LinkedHashMap<>();
    List<Attempt> attempts = List.of();
    List<LimitDenial> limits = List.of();

    static Failure of(StatusRuntimeException error) throws InvalidProtocolBufferException {
      Failure failure = new Failure();
      for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          var info = detail.unpack(ErrorInfo.class);
          failure.reason = info.getReason();
          failure.callId = info.getMetadataOrDefault("call_id", "");
        } else if (detail.is(RetryInfo.class)) {
          var delay = detail.unpack(RetryInfo.class).getRetryDelay();
          failure.retryDelay = Duration.ofSeconds(delay.getSeconds(), delay.getNanos());
        } else if (detail.is(BadRequest.class)) {
          detail.unpack(BadRequest.class).getFieldViolationsList()
              .forEach(wrong -> failure.fields.put(wrong.getField(), wrong.getDescription()));
        } else if (detail.is(CallFailure.class)) {
          var failed = detail.unpack(CallFailure.class);
          failure.attempts = failed.getAttemptsList();
          failure.limits = failed.getLimitsList();
        }
      }
      return failure;
    }
  }

  // retry
  /** Asks again when Modelway says that waiting helps, within one deadline. */
  static GenerateResponse generatePatiently(
      GenerationServiceGrpc.GenerationServiceBlockingStub stub, GenerateRequest request, Duration time)
      throws Exception {
    long end = System.nanoTime() + time.toNanos();
    while (true) {
      try {
        return stub.withDeadlineAfter(end - System.nanoTime(), TimeUnit.NANOSECONDS).generate(request);
      } catch (StatusRuntimeException error) {
        Duration delay = Failure.of(error).retryDelay;
        if (delay == null || System.nanoTime() + delay.toNanos() >= end) {
          throw error;
        }
        TimeUnit.NANOSECONDS.sleep(delay.toNanos());
        // The failure is remembered under the old key.
        request = request.toBuilder().clearIdempotencyKey().build();
      }
    }
  }

  static int words(GenerateResponse answer) {
    return answer.getOutput().getPartsList().stream().mapToInt(part -> part.getText().split("\\s+").length).sum();
  }

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = channel(arguments[0]);
    var stub = GenerationServiceGrpc.newBlockingStub(channel);

    // deadline
    var question = Message.newBuilder().setRole(Role.ROLE_USER).setText("Why is the sky blue?").build();
    var request = GenerateRequest.newBuilder().setScenario("general").addMessages(question).build();
    var answer = stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(request);

    System.out.printf("answer: %d words%n", words(answer));

    // stream
    var text = new StringBuilder();
    var events = stub.withDeadlineAfter(60, TimeUnit.SECONDS).streamGenerate(request);
    while (events.hasNext()) {
      var event = events.next();
      switch (event.getEventCase()) {
        case TEXT_DELTA:
          text.append(event.getTextDelta().getText());
          break;
        case OUTPUT_RESET:
          text.setLength(0);
          break;
        case COMPLETED:
          answer = event.getCompleted().getResponse();
          break;
        default:
          // Skipped, also EVENT_NOT_SET: an event that is newer than these stubs.
      }
    }

    System.out.printf("stream: %d words, %s%n", text.toString().strip().split("\\s+").length, answer.getProvider());

    // cancel
    var context = Context.current().withCancellation();
    context.run(() -> {
      try {
        stub.withDeadlineAfter(60, TimeUnit.SECONDS).streamGenerate(request).forEachRemaining(event -> {
          if (event.hasTextDelta()) {
            context.cancel(null);
          }
        });
      } catch (StatusRuntimeException error) {
        System.out.println("cancelled: " + error.getStatus().getCode());
      }
    });

    var failing = GenerateRequest.newBuilder().setModel("sim-openai/failing").addMessages(question).build();
    try {
      stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(failing);
    } catch (StatusRuntimeException error) {
      Failure failure = Failure.of(error);
      System.out.printf("failed: %s %s after %d attempts%n",
          error.getStatus().getCode(), failure.reason, failure.attempts.size());
    }
    generatePatiently(stub, request, Duration.ofMinutes(1));

    // key
    var keyed = request.toBuilder().setIdempotencyKey("order-4711-summary").build();
    var first = stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(keyed);
    var again = stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(keyed);

    System.out.printf("replayed: %b, the same call: %b%n",
        again.getReplayed(), first.getCallId().equals(again.getCallId()));

    // turn
    var next = request.toBuilder()
        .addMessages(first.getOutput())
        .addMessages(Message.newBuilder().setRole(Role.ROLE_USER).setText("And at sunset?"))
        .build();
    answer = stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(next);

    System.out.printf("next turn: %d input tokens%n", answer.getUsage().getInputTokens());

    // who
    var bearer = new Metadata();
    bearer.put(Metadata.Key.of("authorization", Metadata.ASCII_STRING_MARSHALLER),
        "Bearer " + System.getenv("MODELWAY_API_KEY"));
    var withKey = MetadataUtils.newAttachHeadersInterceptor(bearer);
    var me = CallerServiceGrpc.newBlockingStub(channel).withInterceptors(withKey)
        .withDeadlineAfter(10, TimeUnit.SECONDS).whoAmI(WhoAmIRequest.getDefaultInstance());
    answer = stub.withInterceptors(withKey).withDeadlineAfter(60, TimeUnit.SECONDS).generate(next);

    System.out.println("caller: " + me.getCaller());

    // shapes
    var image = Media.newBuilder().setData(ByteString.copyFromUtf8("PNG")).setMediaType("image/png");
    var picture = GenerateRequest.newBuilder()
        .setScenario("general")
        .addMessages(Message.newBuilder()
            .setRole(Role.ROLE_USER)
            .addParts(ContentPart.newBuilder().setText("What is it?"))
            .addParts(ContentPart.newBuilder().setImage(image)))
        .setSampling(SamplingParams.newBuilder().setTemperature(0))
        .build();
    boolean temperatureIsSet = picture.getSampling().hasTemperature();
    boolean topPIsSet = picture.getSampling().hasTopP();
    answer = stub.withDeadlineAfter(60, TimeUnit.SECONDS).generate(picture);
    double usd = answer.getCost().getAmountNanos() / 1e9;
    // UNRECOGNIZED stands for a value that is newer than these stubs.
    FinishReason why = answer.getFinishReason() == FinishReason.UNRECOGNIZED
        ? FinishReason.FINISH_REASON_UNSPECIFIED : answer.getFinishReason();

    System.out.printf("shapes: %b %b %s %.9f%n", temperatureIsSet, topPIsSet, why, usd);
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }
}
