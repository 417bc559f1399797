package sample.hello;

import com.alipay.sofa.ark.api.ArkClient;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/**
 * A web module: {@code GET /hello/} on the base's port answers {@code hello from <version>}.
 *
 * <p>The context path is fixed, so two versions cannot stand side by side on one base.
 */
@SpringBootApplication
@RestController
public class Hello {

    /** From the container, not from a constant: one class is packed as several versions. */
    private final String version =
            ArkClient.getBizManagerService().getBizByClassLoader(Hello.class.getClassLoader()).getBizVersion();

    public static void main(String[] args) {
        SpringApplication.run(Hello.class, args);
    }

    @GetMapping(value = "/", produces = "text/plain")
    public String hello() {
        return "hello from " + version + "\n";
    }
}
