package sample.slow;

import java.time.Duration;
import org.springframework.beans.factory.annotation.Value;
import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.web.bind.annotation.GetMapping;
import org.springframework.web.bind.annotation.RestController;

/** A web module that takes its time: 8 s, or what the install argument {@code --start-seconds=N} says. */
@SpringBootApplication
@RestController
public class Slow {

    private final long seconds;

    /** Sleeps here, before the web context exists, so that nothing is served until the start is over. */
    public Slow(@Value("${start-seconds:8}") long seconds) throws InterruptedException {
        Thread.sleep(Duration.ofSeconds(seconds).toMillis());
        this.seconds = seconds;
    }

    public static void main(String[] args) {
        SpringApplication.run(Slow.class, args);
    }

    @GetMapping(value = "/", produces = "text/plain")
    public String slow() {
        return "started in " + seconds + " s\n";
    }
}
