package sample.quiet;

import com.alipay.sofa.ark.api.ArkClient;
import org.slf4j.LoggerFactory;
import org.springframework.beans.factory.DisposableBean;
import org.springframework.boot.WebApplicationType;
import org.springframework.boot.autoconfigure.SpringBootApplication;
import org.springframework.boot.builder.SpringApplicationBuilder;

/**
 * A module without a web context: its versions can stand side by side on one base.
 *
 * <p>It says in the base's log when it comes and goes. Which version is active, only Arklet's list tells.
 */
@SpringBootApplication
public class Quiet implements DisposableBean {

    private final String version =
            ArkClient.getBizManagerService().getBizByClassLoader(Quiet.class.getClassLoader()).getBizVersion();

    public Quiet() {
        say("is here");
    }

    public static void main(String[] args) {
        new SpringApplicationBuilder(Quiet.class).web(WebApplicationType.NONE).run(args);
    }

    @Override
    public void destroy() {
        say("is leaving");
    }

    private void say(String what) {
        LoggerFactory.getLogger(Quiet.class).info("quiet {} {}", version, what);
    }
}
