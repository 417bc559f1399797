package sample.failing;

import org.springframework.boot.SpringApplication;
import org.springframework.boot.autoconfigure.SpringBootApplication;

/** A module that never starts; its reason is what a user should get to read. */
@SpringBootApplication
public class Failing {

    public Failing() {
        throw new IllegalStateException("this module cannot start: it has no price list to work from");
    }

    public static void main(String[] args) {
        SpringApplication.run(Failing.class, args);
    }
}
