// The JDK's own HTTP client, on HTTP/1.1: writes the stream's lines as they come; "cancel" leaves after the first word.
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;
import java.nio.charset.StandardCharsets;

public class Peer {
    public static void main(String[] args) throws Exception {
        PrintStream out = new PrintStream(System.out, true, StandardCharsets.UTF_8);
        HttpClient client = HttpClient.newBuilder().version(HttpClient.Version.HTTP_1_1).build();
        String[] bodies = args[2].equals("three") ? new String[] {"a", "b", "x".repeat(260_000)} : new String[] {"hello"};
        for (String text : bodies) {
            String body = "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"" + text + "\"}]}";
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[0] + "/chat/completions"))
                .header("Content-Type", "application/json")
                .header("Authorization", "Bearer " + args[1])
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
            var response = client.send(request, HttpResponse.BodyHandlers.ofInputStream());
            out.println("status " + response.statusCode());
            var lines = new BufferedReader(new InputStreamReader(response.body(), StandardCharsets.UTF_8));
            for (String line = lines.readLine(); line != null; line = lines.readLine()) {
                out.print(line + "\n");
                if (args[2].equals("cancel") && line.contains("\"content\"")) {
                    response.body().close();
                    out.println("cancelled");
                    Thread.sleep(60_000);
                }
            }
        }
        out.println("over");
    }
}
