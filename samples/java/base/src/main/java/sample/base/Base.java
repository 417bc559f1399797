package sample.base;

import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** The JVM that modules are installed on. It serves one line of its own, so that a reader can tell two bases apart. */
@SpringBootApplication
@RestController
public class Base {

    @Value("${server.address:0.0.0.0}")
    private String address;

    public static void main(String[] args) {
        SpringApplication.run(Base.class, args);
    }

    @GetMapping(value = "/", produces = "text/plain")
    public String whoAmI() {
        return "base at " + address + "\n";
    }
}
