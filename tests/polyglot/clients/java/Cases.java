import com.google.protobuf.ByteString;
import com.google.protobuf.Struct;
import com.google.protobuf.util.JsonFormat;
import com.google.rpc.BadRequest;
import com.google.rpc.ErrorInfo;
import com.google.rpc.RetryInfo;
import io.grpc.ManagedChannel;
import io.grpc.ManagedChannelBuilder;
import io.grpc.Metadata;
import io.grpc.StatusRuntimeException;
import io.grpc.health.v1.HealthCheckRequest;
import io.grpc.health.v1.HealthGrpc;
import io.grpc.protobuf.StatusProto;
import io.modelway.v1.*;
import java.util.ArrayList;
import java.util.Iterator;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;

/** Plays every case over grpc-java; prints a line for each. */
public class Cases {
  private static final String SCHEMA = "{\"type\":\"object\",\"properties\":{\"answer\":{\"type\":\"string\"}},"
      + "\"required\":[\"answer\"],\"additionalProperties\":false}";

  private final GenerationServiceGrpc.GenerationServiceBlockingStub stub;
  private final HealthGrpc.HealthBlockingStub health;

  private Cases(ManagedChannel channel) {
    stub = GenerationServiceGrpc.newBlockingStub(channel);
    health = HealthGrpc.newBlockingStub(channel);
  }

  public static void main(String[] arguments) throws Exception {
    ManagedChannel channel = ManagedChannelBuilder.forTarget(arguments[0]).usePlaintext().build();
    Cases cases = new Cases(channel);
    cases.answers();
    cases.tools();
    cases.forms();
    cases.ends();
    cases.failures();
    System.out.printf("health: %s, scenario/chat %s, nonsense %s%n",
        cases.health(""), cases.health("scenario/chat"), cases.health("nonsense"));
    channel.shutdownNow().awaitTermination(5, TimeUnit.SECONDS);
  }

  private GenerationServiceGrpc.GenerationServiceBlockingStub patient() {
    return stub.withDeadlineAfter(30, TimeUnit.SECONDS);
  }

  private void answers() {
    GenerateResponse answer = patient().generate(request("chat").build());
    System.out.printf("unary: %s by %s/%s, %d words, %d + %d tokens, %d nanos of %s, %s%n", finish(answer),
        answer.getProvider(), answer.getModel(), words(text(answer)), answer.getUsage().getInputTokens(),
        answer.getUsage().getOutputTokens(), answer.getCost().getAmountNanos(),
        answer.getCost().getCurrencyCode(), told(answer.getAttemptsList()));

    List<String> kinds = new ArrayList<>();
    StringBuilder whole = new StringBuilder();
    boolean gapless = true;
    long count = 0;
    Iterator<StreamGenerateResponse> events = patient().streamGenerate(request("chat").build());
    while (events.hasNext()) {
      StreamGenerateResponse event = events.next();
      gapless &= event.getSequence() == ++count;
      whole.append(event.getTextDelta().getText());
      String kind = event.getEventCase().name().toLowerCase();
      if (kinds.isEmpty() || !kinds.get(kinds.size() - 1).equals(kind)) {
        kinds.add(kind);
      }
    }
    System.out.printf("stream: %s, %d words, numbered without gaps: %b%n",
        String.join(" ", kinds), words(whole.toString()), gapless);

    answer = patient().generate(request("failover").build());
    System.out.printf("failover: %s, %s%n", answer.getProvider(), told(answer.getAttemptsList()));
  }

  private void tools() throws Exception {
    var function = FunctionTool.newBuilder().setName("search").setParameters(schema());
    var tool = Tool.newBuilder().setFunction(function);
    var must = ToolChoice.newBuilder().setMode(ToolChoiceMode.TOOL_CHOICE_MODE_REQUIRED);
    GenerateResponse asked = patient().generate(request("chat").addTools(tool).setToolChoice(must).build());
    ToolCall call = asked.getOutput().getPartsList().stream()
        .filter(ContentPart::hasToolCall).findFirst().orElseThrow().getToolCall();
    JsonFormat.parser().merge(call.getArgumentsJson(), Struct.newBuilder());
    var result = ToolResult.newBuilder().setToolCallId(call.getId())
        .addContent(ContentPart.newBuilder().setText("nothing found"));
    var back = Message.newBuilder().setRole(Role.ROLE_TOOL)
        .addParts(ContentPart.newBuilder().setToolResult(result));
    GenerateResponse answer = patient().generate(
        request("chat").addMessages(asked.getOutput()).addMessages(back).addTools(tool).build());
    System.out.printf("tools: %s %s, arguments are an object: true, then %s, %d words%n",
        finish(asked), call.getName(), finish(answer), words(text(answer)));
  }

  private void forms() throws Exception {
    var form = ResponseFormat.newBuilder()
        .setJsonSchema(JsonSchemaFormat.newBuilder().setSchema(schema()).setStrict(true));
    GenerateResponse answer = patient().generate(request("chat").setResponseFormat(form).build());
    Struct.Builder object = Struct.newBuilder();
    JsonFormat.parser().merge(text(answer), object);
    System.out.printf("schema: %s, keys: %s%n", finish(answer), String.join(", ", object.getFieldsMap().keySet()));

    var picture = Media.newBuilder().setData(ByteString.copyFrom(new byte[1024 * 1024])).setMediaType("image/png");
    var message = Message.newBuilder().setRole(Role.ROLE_USER)
        .addParts(ContentPart.newBuilder().setText("What is it?"))
        .addParts(ContentPart.newBuilder().setImage(picture));
    answer = patient().generate(GenerateRequest.newBuilder().setScenario("chat").addMessages(message).build());
    System.out.printf("image: %s, %d words%n", finish(answer), words(text(answer)));
  }

  private void ends() throws Exception {
    var context = io.grpc.Context.current().withCancellation();
    Failure found = context.call(() -> failure(() -> {
      patient().streamGenerate(request("endless").build()).forEachRemaining(event -> {
        if (event.hasTextDelta()) {
          context.cancel(null);
        }
      });
    }));
    System.out.printf("cancelled: %s%n", found.code);

    found = failure(() -> stub.withDeadlineAfter(300, TimeUnit.MILLISECONDS).generate(request("silent").build()));
    System.out.printf("deadline: %s%n", found.code);
    found = failure(() -> stub.streamGenerate(request("short-of-time").build()).forEachRemaining(event -> {}));
    System.out.printf("time of the scenario: %s %s, %s%n",
        found.code, found.info.getReason(), told(found.call.getAttemptsList()));
  }

  private void failures() throws Exception {
    Failure found = failure(() -> patient().generate(request("unavailable").build()));
    String id = found.info.getMetadataOrDefault("call_id", "");
    System.out.printf("failing: %s %s, provider's status %s, %s, pushback %s, call id in both places: %b%n",
        found.code, found.info.getReason(), found.info.getMetadataOrThrow("provider_status"),
        told(found.call.getAttemptsList()), found.trailer("grpc-retry-pushback-ms"),
        !id.isEmpty() && id.equals(found.trailer("x-modelway-call-id")));

    found = failure(() -> patient().generate(request("limited").build()));
    System.out.printf("limited: %s %s, after %d s%n",
        found.code, found.info.getReason(), found.retry.getRetryDelay().getSeconds());

    var wrong = GenerateRequest.newBuilder().setScenario("chat").addMessages(Message.newBuilder().setText("no role"))
        .setSampling(SamplingParams.newBuilder().setTemperature(3)).build();
    found = failure(() -> patient().generate(wrong));
    System.out.printf("invalid: %s %s, %s%n", found.code, found.info.getReason(),
        found.wrong.getFieldViolationsList().stream()
            .map(BadRequest.FieldViolation::getField).collect(Collectors.joining(", ")));

    List<StreamGenerateResponse> pieces = new ArrayList<>();
    found = failure(() -> patient().streamGenerate(request("cut").build()).forEachRemaining(event -> {
      if (event.hasTextDelta()) {
        pieces.add(event);
      }
    }));
    System.out.printf("cut: %s %s, %d pieces%n", found.code, found.info.getReason(), pieces.size());
  }

  private String health(String service) {
    var request = HealthCheckRequest.newBuilder().setService(service).build();
    try {
      return health.withDeadlineAfter(30, TimeUnit.SECONDS).check(request).getStatus().name();
    } catch (StatusRuntimeException error) {
      return error.getStatus().getCode().name();
    }
  }

  private static GenerateRequest.Builder request(String scenario) {
    var message = Message.newBuilder().setRole(Role.ROLE_USER).setText("Hello");
    return GenerateRequest.newBuilder().setScenario(scenario).addMessages(message);
  }

  private static JsonSchema schema() {
    return JsonSchema.newBuilder().setText(SCHEMA).build();
  }

  private static String text(GenerateResponse answer) {
    return answer.getOutput().getPartsList().stream().map(ContentPart::getText).collect(Collectors.joining());
  }

  private static int words(String text) {
    return text.strip().split("\\s+").length;
  }

  private static String finish(GenerateResponse answer) {
    return answer.getFinishReason().name().replace("FINISH_REASON_", "");
  }

  private static String told(List<Attempt> attempts) {
    return attempts.stream()
        .map(attempt -> attempt.getKind().name().replace("ATTEMPT_KIND_", "") + " "
            + attempt.getOutcome().name().replace("ATTEMPT_OUTCOME_", ""))
        .collect(Collectors.joining(", "));
  }

  private interface Call {
    void run() throws Exception;
  }

  /** Runs a call that must fail. */
  private static Failure failure(Call call) throws Exception {
    try {
      call.run();
    } catch (StatusRuntimeException error) {
      return new Failure(error);
    }
    throw new AssertionError("the call should have failed");
  }

  /** What the details of a failure say. */
  private static final class Failure {
    final String code;
    final Metadata trailers;
    ErrorInfo info = ErrorInfo.getDefaultInstance();
    RetryInfo retry = RetryInfo.getDefaultInstance();
    BadRequest wrong = BadRequest.getDefaultInstance();
    CallFailure call = CallFailure.getDefaultInstance();

    Failure(StatusRuntimeException error) throws Exception {
      code = error.getStatus().getCode().name();
      trailers = error.getTrailers();
      for (var detail : StatusProto.fromThrowable(error).getDetailsList()) {
        if (detail.is(ErrorInfo.class)) {
          info = detail.unpack(ErrorInfo.class);
        } else if (detail.is(RetryInfo.class)) {
          retry = detail.unpack(RetryInfo.class);
        } else if (detail.is(BadRequest.class)) {
          wrong = detail.unpack(BadRequest.class);
        } else if (detail.is(CallFailure.class)) {
          call = detail.unpack(CallFailure.class);
        }
      }
    }

    String trailer(String name) {
      return trailers.get(Metadata.Key.of(name, Metadata.ASCII_STRING_MARSHALLER));
    }
  }
}
