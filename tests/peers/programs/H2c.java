// The JDK's own HTTP client as it is by default: it offers "Upgrade: h2c" on plain HTTP. Three POSTs, one after another.
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpResponse;

public class H2c {
    public static void main(String[] args) throws Exception {
        HttpClient client = HttpClient.newHttpClient();
        for (String body : new String[] {"{\"first\": 1 }", "{\"second\": 2}", "x".repeat(260_000)}) {
            HttpRequest request = HttpRequest.newBuilder(URI.create(args[0] + "/echo"))
                .header("Content-Type", "application/json")
                .POST(HttpRequest.BodyPublishers.ofString(body))
                .build();
            HttpResponse<String> response = client.send(request, HttpResponse.BodyHandlers.ofString());
            System.out.println(response.version() + " " + response.statusCode() + " " + response.body());
        }
    }
}
